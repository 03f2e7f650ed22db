"""What each of FFmpeg's AAC coders costs and how much of its noise can be heard: `python benchmarks/aac_coders.py`.

Encodes made-up music and speech, decodes them, and prints CPU per second of sound and the noise-to-mask ratio: error
over masking threshold in bark bands, mean and 95th percentile; below 0 dB it cannot be heard. A plain model: it
compares coders, it does not grade them.
"""

import time

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from numpy.typing import NDArray

Sound = NDArray[np.float32]
"""Channels x samples."""

RATE_HZ, FRAME, SECONDS = 48_000, 1024, 12
CODERS, BIT_RATES = ("twoloop", "fast"), {1: (64_000, 96_000), 2: (96_000, 128_000)}
WINDOW, BANDS = 2048, 22
SPREAD, MASK_DB = (0.003, 0.05, 1, 0.3, 0.08, 0.02), -12
"""How far a band masks its neighbours, and by how much less than its own level."""


def main() -> None:
    """Measure all and print a line each."""
    for name, make in (("music", music), ("speech", speech)):
        for channels, bit_rates in BIT_RATES.items():
            mono = make()
            sound = np.vstack([mono, 0.7 * mono + 0.3 * np.roll(mono, 400)][:channels]).astype(np.float32)
            for coder in CODERS:
                for bit_rate in bit_rates:
                    heard, cpu_ms = there_and_back(sound, coder, bit_rate)
                    mean, worst = noise_to_mask_db(sound, heard)
                    title = f"{name:6} {channels} channel(s) {coder:8} {bit_rate // 1000:4} kbit/s"
                    print(f"{title}  {cpu_ms:5.1f} ms/s  noise to mask {mean:6.1f} / {worst:5.1f} dB", flush=True)


def music() -> Sound:
    """Return six trembling partials and a little noise."""
    at = np.arange(RATE_HZ * SECONDS) / RATE_HZ
    partials = sum(np.sin(2 * np.pi * f * at) / (n + 1) for n, f in enumerate((220, 440, 660, 1330, 2500, 5000)))
    noise = np.random.default_rng(1).normal(0, 0.01, at.size)
    return np.asarray((0.1 * partials + noise) * (0.5 + 0.5 * np.sin(2 * np.pi * 3 * at)), np.float32)


def speech() -> Sound:
    """Return a gliding voice through moving formants, hissing for a third of the time."""
    count, noise = RATE_HZ * SECONDS, np.random.default_rng(3)
    at = np.arange(count) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(110 + 30 * np.sin(4.4 * at) + 10 * np.sin(14.5 * at)) / RATE_HZ
    source = sum(np.cos(k * phase) / k for k in range(1, 60))
    hertz, hann, out = np.fft.rfftfreq(FRAME, 1 / RATE_HZ), np.hanning(FRAME), np.zeros(count + FRAME)
    for begin in range(0, count - FRAME, FRAME // 2):
        hisses = begin // (RATE_HZ // 2) % 3 == 2
        breath = noise.normal(0, 0.3, FRAME) * (1 if hisses else 0.05)
        mouth = 0.5 + 0.5 * np.sin(2 * np.pi * 1.7 * begin / RATE_HZ)
        formants = (300 + 500 * mouth, 900 + 1400 * (1 - mouth), 2600, 3600, 7000 if hisses else 4500)
        shape = sum(0.8**n / (1 + ((hertz - f) / (80 + 0.05 * f)) ** 2) for n, f in enumerate(formants))
        shaped = np.fft.irfft(np.fft.rfft((source[begin : begin + FRAME] + breath) * hann) * shape)
        out[begin : begin + FRAME] += shaped * hann
    return np.asarray(out[:count] / (1.5 * np.abs(out).max()), np.float32)


def there_and_back(sound: Sound, coder: str, bit_rate: int) -> tuple[Sound, float]:
    """Return the sound encoded and decoded, and milliseconds of CPU the encoder took per second of it."""
    encoder, decoder = AudioCodecContext.create("aac", "w"), AudioCodecContext.create("aac", "r")
    layout = "mono" if len(sound) == 1 else "stereo"
    encoder.sample_rate, encoder.layout, encoder.format, encoder.bit_rate = RATE_HZ, layout, "fltp", bit_rate
    encoder.options = {"aac_coder": coder}
    encoder.open()
    decoder.extradata = bytes(encoder.extradata or b"")
    packets, began = [], time.process_time()
    for begin in range(0, sound.shape[1] - FRAME, FRAME):
        block = np.ascontiguousarray(sound[:, begin : begin + FRAME])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        frame.sample_rate, frame.pts = RATE_HZ, begin
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    cpu_ms = (time.process_time() - began) * 1000 / (sound.shape[1] / RATE_HZ)
    frames = [frame.to_ndarray() for packet in packets for frame in decoder.decode(av.Packet(packet))]
    return np.concatenate(frames, axis=1)[:, FRAME:], cpu_ms


def noise_to_mask_db(sound: Sound, heard: Sound) -> tuple[float, float]:
    """Return mean and 95th percentile over blocks and bands."""
    hertz = np.fft.rfftfreq(WINDOW, 1 / RATE_HZ)
    bark = (13 * np.arctan(0.00076 * hertz) + 3.5 * np.arctan((hertz / 7500) ** 2)).astype(int)
    ratios = []
    for was, became in zip(sound, heard, strict=True):
        for begin in range(0, min(was.size, became.size) - WINDOW, WINDOW):
            block = was[begin : begin + WINDOW]
            signal, error = band_energy(block, bark), band_energy(became[begin : begin + WINDOW] - block, bark)
            mask = np.convolve(signal, SPREAD, "same") * 10 ** (MASK_DB / 10) + 1e-6
            ratios.append(10 * np.log10(error[:BANDS] / mask[:BANDS] + 1e-9))
    return float(np.mean(ratios)), float(np.percentile(ratios, 95))


def band_energy(block: Sound, bark: NDArray[np.int_]) -> NDArray[np.float64]:
    """Return the energy in each bark band."""
    return np.bincount(bark, np.abs(np.fft.rfft(block * np.hanning(WINDOW))) ** 2, minlength=25)


if __name__ == "__main__":
    main()
