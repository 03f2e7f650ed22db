// Tells at each rendered block which wall clock (seconds) audio time 0 would have.

registerProcessor(
  "clock",
  class extends AudioWorkletProcessor {
    process() {
      this.port.postMessage(Date.now() / 1000 - currentTime);
      return true;
    }
  },
);
