// A whole run that stands in the page itself (`formicarium export --to html`), read as the feed would have sent it. Must
// not know the DOM, the reducer or how anything is shown.
import { FeedError } from "./error";
import { readControl } from "./payload";
import { decodeFrame } from "./wire";
import type { Handlers } from "./client";

/** Records longer than this are none of ours. */
const RECORD_LIMIT_BYTES = 64 * 1024 * 1024;

/** Base64 of a raw deflate stream: records of a length (u32, little-endian), a byte (1: frame, 0: control), a message. */
export async function readRecording(base64: string, on: Handlers): Promise<void> {
  const packed = Uint8Array.from(atob(base64.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const view = new DataView(bytes.buffer);
  for (let at = 0; at < bytes.length;) {
    const length = at + 4 <= bytes.length ? view.getUint32(at, true) : 0;
    if (length < 1 || length > RECORD_LIMIT_BYTES || at + 4 + length > bytes.length) throw new FeedError(`the recording is cut off or damaged at byte ${at}`);
    const message = bytes.slice(at + 5, at + 4 + length);
    if (bytes[at + 4] === 1) {
      const frame = await decodeFrame(message.buffer);
      if (frame instanceof FeedError) throw frame;
      on.frame(frame);
    } else {
      const control = readControl(new TextDecoder().decode(message));
      if (control instanceof FeedError) throw control;
      if (control.type === "status") on.status(control);
      if (control.type === "end") on.end(control);
    }
    at += 4 + length;
  }
}
