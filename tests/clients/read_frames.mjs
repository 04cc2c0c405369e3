// Prints how the JSON parser of Node reads frames: one line of hexadecimal digits per frame, one line of JSON per answer.

import { createInterface } from "node:readline";

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const compare = (one, other) => Buffer.compare(Buffer.from(one), Buffer.from(other));
const keys = (value) => (isObject(value) ? Object.keys(value).sort(compare) : null);

for await (const line of createInterface({ input: process.stdin })) {
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(Buffer.from(line.trim(), "hex"));
  const frame = JSON.parse(text);
  const params = isObject(frame.params) ? frame.params : {};
  const member = (object, name) => (Object.hasOwn(object, name) ? object[name] : null);
  const members = {
    id: member(frame, "id"),
    method: member(frame, "method"),
    name: member(params, "name"),
    uri: member(params, "uri"),
    keys: keys(frame),
    params: keys(params),
    arguments: keys(member(params, "arguments")),
  };
  console.log(JSON.stringify(members));
}
