// Makes the sound: a ground too quiet to be taken for a beep, so that the encoder never idles, and a beep that begins
// with every whole second of the wall clock.
//
// Blocks are rendered in bursts of `burst` seconds, and now and then late. So the wall clock at audio time 0 is the least
// that any block of the last half second says, plus half a burst. A beep begins at the very sample, and is reported.

const BEEP_SECONDS = 0.1;
const BEEP_HZ = 1000;
const GROUND_HZ = 220;
const GROUND = 0.05;
const WINDOW_SECONDS = 0.5;

registerProcessor(
  "beeper",
  class extends AudioWorkletProcessor {
    seen = [];
    second = null;

    constructor({ processorOptions }) {
      super();
      this.burst = processorOptions.burst;
    }

    process(_inputs, [[output]]) {
      const clock = this.clock(Date.now() / 1000 - currentTime);
      for (let n = 0; n < output.length; n += 1) {
        const time = currentTime + n / sampleRate;
        const wall = time + clock;
        const second = Math.floor(wall);
        if (this.second !== null && second > this.second) this.port.postMessage(second * 1000);
        this.second = Math.max(second, this.second ?? second);
        const isBeep = wall - second < BEEP_SECONDS;
        output[n] = isBeep ? 0.5 * wave(BEEP_HZ, time) : GROUND * wave(GROUND_HZ, time);
      }
      return true;
    }

    clock(offset) {
      this.seen.push([currentTime, offset]);
      while (this.seen[0][0] < currentTime - WINDOW_SECONDS) this.seen.shift();
      return Math.min(...this.seen.map(([, one]) => one)) + this.burst / 2;
    }
  },
);

function wave(hertz, time) {
  return Math.sin(2 * Math.PI * hertz * time);
}
