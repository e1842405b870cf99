// The one kind of error that decoding answers with.

/** What was wrong with a message from the host, in words a spectator can pass on. */
export class FeedError extends Error {
  override readonly name = "FeedError";
}
