// The registry of image sets: one line a member.
export { fashionMnist } from "./fashion-mnist.ts";
export { mnist } from "./mnist.ts";
