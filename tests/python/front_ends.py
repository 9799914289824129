"""Front ends of models of sounds by NumPy alone, and models that hand through what they are fed.

front_ends.py FOLDER    writes NAME.onnx and NAME.toml for each, SOUND.wav, and NAME.SOUND.f32: the features

The formulas are those of librosa.feature.melspectrogram, transformers' WhisperFeatureExtractor, ASTFeatureExtractor and
Wav2Vec2FeatureExtractor, and torchaudio.compliance.kaldi.fbank; each frame is computed by itself, by numpy.fft.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
import soundfile
from onnx import TensorProto, helper

folder = pathlib.Path(sys.argv[1])
RATE = 16000


def hz_to_mel(f, scale):
    f = np.asarray(f, float)
    if scale == "htk":
        return 2595 * np.log10(1 + f / 700)
    if scale == "kaldi":
        return 1127 * np.log(1 + f / 700)
    return np.where(f < 1000, f * 3 / 200, 15 + np.log(np.maximum(f, 1e-9) / 1000) * 27 / np.log(6.4))


def mel_to_hz(m, scale):
    m = np.asarray(m, float)
    if scale == "htk":
        return 700 * (10 ** (m / 2595) - 1)
    if scale == "kaldi":
        return 700 * (np.exp(m / 1127) - 1)
    return np.where(m < 15, m * 200 / 3, 1000 * np.exp((m - 15) * np.log(6.4) / 27))


def filters(n_fft, n_mels, low, high, scale, slaney_norm=False):
    edges = np.linspace(hz_to_mel(low, scale), hz_to_mel(high, scale), n_mels + 2)
    hz = mel_to_hz(edges, scale)
    at = np.arange(n_fft // 2 + 1) * RATE / n_fft
    if scale == "kaldi":
        at, edges = hz_to_mel(at, scale), edges
    else:
        edges = hz
    up = (at[:, None] - edges[:-2]) / np.diff(edges)[:-1]
    down = (edges[2:] - at[:, None]) / np.diff(edges)[1:]
    bank = np.maximum(0, np.minimum(up, down))
    return bank * (2 / (hz[2:] - hz[:-2])) if slaney_norm else bank


def spectra(x, length, hop, n_fft, window, center=False, dc=False, preemphasis=0.0, power=2):
    x = x.astype(np.float64)
    if center:
        x = np.pad(x, n_fft // 2, mode="reflect")
    out = []
    for begin in range(0, len(x) - length + 1, hop):
        frame = x[begin : begin + length].copy()
        if dc:
            frame -= frame.mean()
        if preemphasis:
            frame = frame - preemphasis * np.concatenate([frame[:1], frame[:-1]])
        out.append(np.abs(np.fft.rfft(frame * window, n_fft)) ** power)
    return np.array(out)


def hann(n, symmetric=False):
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / (n - 1 if symmetric else n))


def whisper(n_mels):
    def features(x):
        x = np.pad(x[: 30 * RATE], (0, max(0, 30 * RATE - len(x))))
        mel = spectra(x, 400, 160, 400, hann(400), center=True) @ filters(400, n_mels, 0, 8000, "slaney", True)
        log = np.log10(np.maximum(mel, 1e-10)).T[:, :-1]
        return (np.maximum(log, log.max() - 8) + 4) / 4

    return features


def ast(x):
    mel = spectra(x, 400, 160, 512, hann(400, True), dc=True, preemphasis=0.97) @ filters(512, 128, 20, 8000, "kaldi")
    log = np.log(np.maximum(mel, 1.192092955078125e-07))
    log = np.pad(log, ((0, max(0, 1024 - len(log))), (0, 0)))[:1024]
    return (log - -4.2677393) / (4.5689974 * 2)


def wespeaker(x):
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 399)
    mel = spectra(x * 32768.0, 400, 160, 512, window, dc=True, preemphasis=0.97) @ filters(512, 80, 20, 8000, "kaldi")
    log = np.log(np.maximum(mel, 1.1920928955078125e-07))
    return log - log.mean(axis=0)


def wav2vec2(x):
    x = x.astype(np.float64)
    return (x - x.mean()) / np.sqrt(x.var() + 1e-7)


def own(x):
    mel = spectra(x, 320, 160, 512, hann(320), power=1) @ filters(512, 40, 60, 7600, "htk")
    return np.log(mel + 0.001)


def povey(x):
    window = hann(400, True) ** 0.85
    mel = spectra(x, 400, 160, 512, window, dc=True, preemphasis=0.97) @ filters(512, 80, 20, 8000, "kaldi")
    return np.log(np.maximum(mel, 1.1920928955078125e-07)).T


OWN = """{ n-mels = 40, frame-length = 320, n-fft = 512, spectrum = "magnitude", range = [60, 7600], log = "ln-plus",
floor = 0.001 }""".replace("\n", " ")
POVEY = """{ n-mels = 80, window = "povey", remove-mean = true, preemphasis = 0.97, scale = "kaldi",
floor = 1.1920928955078125e-7, bins-first = true }""".replace("\n", " ")
KINDS = {
    "whisper-80": (whisper(80), ["N", 80, 3000], '"whisper-80"'),
    "whisper-128": (whisper(128), ["N", 128, 3000], '"whisper-128"'),
    "ast": (ast, ["N", 1024, 128], '"ast"'),
    "wespeaker": (wespeaker, ["N", "T", 80], '"wespeaker"'),
    "wav2vec2": (wav2vec2, ["N", "S"], '"zero-mean-unit-variance"'),
    "own": (own, ["N", "T", 40], OWN),
    "povey": (povey, ["N", 80, "T"], POVEY),
}


def sounds():
    rng = np.random.default_rng(3)
    t = np.arange(int(1.3 * RATE)) / RATE
    chirp = 0.5 * np.sin(2 * np.pi * (100 * t + 2500 * t**2))
    yield "chirp", chirp + 1e-4 * rng.standard_normal(len(t))
    yield "quiet", 1e-4 * rng.standard_normal(9000) + 0.01
    loud = rng.standard_normal(40000).cumsum()
    yield "loud", 0.9 * loud / np.abs(loud).max()
    yield "silence", np.zeros(5000)


for name, (_, shape, front_end) in KINDS.items():
    value = helper.make_tensor_value_info("features", TensorProto.FLOAT, shape)
    out = helper.make_tensor_value_info("row", TensorProto.FLOAT, ["N", None])
    node = helper.make_node("Flatten", ["features"], ["row"], axis=1)
    graph = helper.make_graph([node], name, [value], [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / f"{name}.onnx")
    text = f'tap = "row"\npool = "none"\npreprocess = {{ kind = "audio", front-end = {front_end} }}\n'
    (folder / f"{name}.toml").write_text(text)
listed = []
for sound, x in sounds():
    soundfile.write(folder / f"{sound}.wav", x, RATE, "FLOAT")
    x = soundfile.read(folder / f"{sound}.wav", dtype="float32")[0]
    for name, (features, _, _) in KINDS.items():
        features(x).astype("<f4").tofile(folder / f"{name}.{sound}.f32")
        listed.append([name, sound])
print(json.dumps(listed))
