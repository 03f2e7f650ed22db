// Paints one picture per frame period, on a grid of the wall clock, and writes it with its capture time as timestamp.
//
// Burnt in, as 14 x 4 blocks over the upper half: 32 bits of the capture time (milliseconds since 1970, low bits), 16 of
// the picture's number, 8 of checksum, most significant first. The lower half is white during the first tenth of every
// second: the flash. tests/support/burnt_in.py reads it back.

const COLUMNS = 14;
const ROWS = 4;
const FLASH_MS = 100;

onmessage = ({ data }) => {
  if (data.stop) {
    stopped = true;
    return;
  }
  paint(data);
};

let stopped = false;

async function paint({ writable, width, height, fps }) {
  const writer = writable.getWriter();
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const period = 1000 / fps;
  let slot = Math.ceil(wallNow() / period);
  for (let number = 0; !stopped; number += 1) {
    await sleepUntil(slot * period);
    const now = wallNow();
    draw(context, width, height, Math.round(now), number & 0xffff);
    const frame = new VideoFrame(canvas, { timestamp: Math.round(now * 1000) });
    await writer.write(frame);
    postMessage({ time: Math.round(now), exact: now, number: number & 0xffff });
    slot = Math.max(slot + 1, Math.ceil(wallNow() / period));
  }
  await writer.close();
}

function wallNow() {
  return performance.timeOrigin + performance.now();
}

function sleepUntil(moment) {
  return new Promise((resolve) => setTimeout(resolve, Math.max(0, moment - wallNow())));
}

function draw(context, width, height, time, number) {
  const isFlash = time % 1000 < FLASH_MS;
  context.fillStyle = "#404040";
  context.fillRect(0, 0, width, height);
  const low = time % 2 ** 32;
  const bytes = [low / 2 ** 24, low / 2 ** 16, low / 2 ** 8, low, number >> 8, number].map((b) => Math.floor(b) & 0xff);
  bytes.push(bytes.reduce((sum, byte) => (sum * 31 + byte) & 0xff, 7));
  for (let bit = 0; bit < COLUMNS * ROWS; bit += 1) {
    context.fillStyle = (bytes[bit >> 3] >> (7 - (bit & 7))) & 1 ? "#ffffff" : "#000000";
    const left = Math.round(((bit % COLUMNS) * width) / COLUMNS);
    const top = Math.round((Math.floor(bit / COLUMNS) * height) / 2 / ROWS);
    context.fillRect(left, top, Math.ceil(width / COLUMNS), Math.ceil(height / 2 / ROWS));
  }
  context.fillStyle = isFlash ? "#ffffff" : "#101010";
  context.fillRect(0, Math.round(height / 2), width, height);
  // Something always moves, so that no encoder skips a picture as a repetition.
  context.fillStyle = "#808080";
  context.fillRect((number * 7) % width, Math.round(height * 0.9), 16, 16);
}
