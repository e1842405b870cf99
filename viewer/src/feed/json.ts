// Small readers of untrusted JSON, shared by all payloads: a value of the wanted kind, or what stands for none.
import { FeedError } from "./error";

export type Json = Readonly<Record<string, unknown>>;

export function object(value: unknown, what: string): Json {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new FeedError(`${what} is not an object`);
  return value as Json;
}
export const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
export const loose = (value: unknown): Json => (typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {});
export const text = (value: unknown, otherwise = ""): string => (typeof value === "string" ? value : otherwise);
export const textOrNull = (value: unknown): string | null => (typeof value === "string" && value !== "" ? value : null);
export const number = (value: unknown, otherwise = 0): number => (typeof value === "number" && Number.isFinite(value) ? value : otherwise);
export const numberOrNull = (value: unknown): number | null => (typeof value === "number" && Number.isFinite(value) ? value : null);
export const seatOrNull = (value: unknown): number | null => (typeof value === "number" && Number.isInteger(value) && value >= 0 ? value : null);
