"""Trains the embedded backbone: distil.py DATA [--epochs N] [--small-epochs N] [--start MODEL.onnx]

DATA holds what `gather.py` wrote: views.npy (n, 64, 64, 3) uint8, features.npy (n, 1280) f32 and
classifier.npz, the teacher's last layer. The student is a MobileNetV2 of half width (Sandler et al. 2018)
with 384 features. It learns the teacher's standardised features (squared error) and its class
probabilities (cross-entropy at temperature 2) on the very pictures the teacher saw (Beyer et al. 2022),
mirrored or not; the first epochs at 64x64, as the pictures are, the others at 96x96. Training continues from
DATA/checkpoint.pt where there is one, else from the weights of an earlier student where one is named.
"""

import argparse
import json
import math
import pathlib
import time

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn
from torch.nn import functional as F

SIZE = 96
N_FEATURES, SEED, BATCH, LR, DECAY, TEMPERATURE = 384, 20261121, 256, 3e-3, 0.05, 2.0
# Expansion, channels, blocks, stride: MobileNetV2's table at width 0.5.
STAGES = [(1, 8, 1, 1), (6, 16, 2, 2), (6, 16, 3, 2), (6, 32, 4, 2), (6, 48, 3, 1), (6, 80, 3, 2), (6, 160, 1, 1)]
STEM = 16


def conv(inputs, outputs, kernel, stride=1, groups=1, activation=True):
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    return nn.Sequential(*layers, nn.ReLU6()) if activation else nn.Sequential(*layers)


class Block(nn.Module):
    """An inverted residual: widen, filter each channel, narrow without an activation."""

    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        wide = inputs * expansion
        widen = [conv(inputs, wide, 1)] if expansion > 1 else []
        self.body = nn.Sequential(*widen, conv(wide, wide, 3, stride, wide), conv(wide, outputs, 1, activation=False))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x):
        return x + self.body(x) if self.residual else self.body(x)


class Student(nn.Module):
    """(n, 3, size, size) pictures in 0-255 -> (n, N_FEATURES)."""

    def __init__(self):
        super().__init__()
        layers, channels = [conv(3, STEM, 3, 2)], STEM
        for expansion, outputs, n, stride in STAGES:
            for index in range(n):
                layers.append(Block(channels, outputs, stride if index == 0 else 1, expansion))
                channels = outputs
        layers.append(conv(channels, N_FEATURES, 1))
        self.body = nn.Sequential(*layers)

    def forward(self, x):
        return self.body((x - 127.5) / 58.0).mean((2, 3))


class Heads(nn.Module):
    """What the student is taught by; none of it ships."""

    def __init__(self, n_teacher, n_classes):
        super().__init__()
        self.features = nn.Linear(N_FEATURES, n_teacher)
        self.logits = nn.Linear(N_FEATURES, n_classes)


def unfold(student, model, views):
    """Gives the student an exported network's weights: each batch normalisation gets the statistics that its
    convolution has on some pictures, and the scale and shift that undo them."""
    weights = {it.name: numpy_helper.to_array(it) for it in onnx.load(model).graph.initializer}
    pairs = {}
    for index, layer in enumerate(student.body):
        name = "stem" if index == 0 else "last" if index == len(student.body) - 1 else f"block{index}"
        parts = enumerate(layer.body) if isinstance(layer, Block) else [(None, layer)]
        for part, sequence in parts:
            pairs[sequence[0]] = (sequence[1], name if part is None else f"{name}.{part}")

    def take(convolution, _, out):
        norm, name = pairs[convolution]
        norm.running_mean, norm.running_var = out.mean((0, 2, 3)), out.var((0, 2, 3))
        norm.weight.copy_(torch.sqrt(norm.running_var + norm.eps))
        norm.bias.copy_(norm.running_mean + torch.tensor(weights[f"{name}.bias"]))

    with torch.no_grad():
        hooks = [convolution.register_forward_hook(take) for convolution in pairs]
        for convolution, (_, name) in pairs.items():
            convolution.weight.copy_(torch.tensor(weights[f"{name}.weight"]))
        some = views[:: max(1, len(views) // 512)].permute(0, 3, 1, 2).float()
        student.eval()(F.interpolate(some, (SIZE, SIZE), mode="bilinear", align_corners=False))
        for hook in hooks:
            hook.remove()
    student.train()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=pathlib.Path)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--small-epochs", type=int, default=0, help="epochs at 64x64")
    parser.add_argument("--start", type=pathlib.Path, help="an exported student to start from")
    parser.add_argument("--rate", type=float, default=LR)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--max-steps", type=int, default=0, help="stop after this many steps, to time them")
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(args.threads)
    views = torch.from_numpy(np.load(args.data / "views.npy", mmap_mode="r"))
    features = np.load(args.data / "features.npy")
    last = np.load(args.data / "classifier.npz")
    mean, std = features.mean(0), features.std(0) + 1e-3
    weight, bias = torch.from_numpy(last["weight"]), torch.from_numpy(last["bias"])
    features, mean, std = torch.from_numpy(features), torch.from_numpy(mean), torch.from_numpy(std)

    student, heads = Student().to(memory_format=torch.channels_last), Heads(features.shape[1], len(bias))
    parameters = [*student.parameters(), *heads.parameters()]
    groups = [
        {"params": [it for it in parameters if it.ndim > 1], "weight_decay": DECAY},
        {"params": [it for it in parameters if it.ndim <= 1], "weight_decay": 0.0},
    ]
    optimiser = torch.optim.AdamW(groups, LR)
    average = {key: value.clone() for key, value in student.state_dict().items()}
    checkpoint, first = args.data / "checkpoint.pt", 0
    if args.start and not checkpoint.exists():
        unfold(student, args.start, views)
        average = {key: value.clone() for key, value in student.state_dict().items()}
    if checkpoint.exists():
        state = torch.load(checkpoint)
        student.load_state_dict(state["student"])
        heads.load_state_dict(state["heads"])
        optimiser.load_state_dict(state["optimiser"])
        average, first = state["average"], state["epoch"]
    steps = len(views) // BATCH
    for epoch in range(first, args.epochs):
        # Seeded by the epoch: a run that continues goes on as it would have.
        generator = torch.Generator().manual_seed(SEED + epoch)
        order = torch.randperm(len(views), generator=generator)
        start, sums, fits = time.time(), np.zeros(2), 0.0
        for step in range(steps):
            progress = (epoch + step / steps) / args.epochs
            rate = args.rate * min(1.0, progress * args.epochs / 2) * 0.5 * (1 + math.cos(math.pi * progress))
            for group in optimiser.param_groups:
                group["lr"] = rate
            index = order[step * BATCH : (step + 1) * BATCH].sort().values
            x = views[index].permute(0, 3, 1, 2).float()
            mirrored = torch.rand(len(x), generator=generator) < 0.5
            x[mirrored] = x[mirrored].flip(3)
            if epoch >= args.small_epochs:
                x = F.interpolate(x, (SIZE, SIZE), mode="bilinear", align_corners=False)
            x = x.contiguous(memory_format=torch.channels_last)
            with torch.no_grad():
                target = (features[index] - mean) / std
                truth = ((features[index] @ weight.T + bias) / TEMPERATURE).softmax(1)
            with torch.autocast("cpu", torch.bfloat16):
                rows = student(x)
            rows = rows.float()
            of_features = F.mse_loss(heads.features(rows), target)
            log_probabilities = (heads.logits(rows) / TEMPERATURE).log_softmax(1)
            of_logits = -(truth * log_probabilities).sum(1).mean()
            loss = of_features + 0.5 * of_logits
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimiser.step()
            with torch.no_grad():
                for key, value in student.state_dict().items():
                    if value.dtype.is_floating_point:
                        average[key].lerp_(value, 0.002)
                    else:
                        average[key].copy_(value)
            sums += [of_features.item(), of_logits.item()]
            fits += (log_probabilities.argmax(1) == truth.argmax(1)).float().mean().item()
            if args.max_steps and step + 1 == args.max_steps:
                print(f"{BATCH * args.max_steps / (time.time() - start):.0f} pictures/s")
                return
        record = {
            "epoch": epoch + 1,
            "features_mse": round(sums[0] / steps, 4),
            "logits_cross_entropy": round(sums[1] / steps, 4),
            "same_class": round(fits / steps, 4),
            "seconds": round(time.time() - start),
        }
        with open(args.data / "log.jsonl", "a") as log:
            log.write(json.dumps(record) + "\n")
        state = {"student": student.state_dict(), "heads": heads.state_dict(), "average": average}
        state |= {"optimiser": optimiser.state_dict(), "epoch": epoch + 1}
        torch.save(state, checkpoint.with_suffix(".tmp"))
        checkpoint.with_suffix(".tmp").replace(checkpoint)


if __name__ == "__main__":
    main()
