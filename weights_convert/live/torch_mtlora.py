"""MTLoRA in plain PyTorch under its repository's names, at inference. Needs torch.

Written from the layers' description: a linear layer adds 4 · B A x for all tasks to its shared stream, and to the same
product W x of the shared stream 4 · B_t A_t x_t for each task; tasks part after the attention of a stage's last block.
"""

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from icm_jax.recognizers.mtlora import SCALE, MTLoRASpec
from weights_convert.live.torch_recognizers import norm
from weights_convert.live.torch_swin_transformer import Backbone, Block

Streams = dict[str, Tensor]


class Updated(nn.Module):
    """A linear layer with updates: one for all tasks, and where `ranks` has any, one a task."""

    def __init__(self, linear: nn.Linear, rank: int, ranks: Mapping[str, int]) -> None:
        super().__init__()
        c_out, c_in = linear.weight.shape
        self.linear = linear
        self.lora_shared_A, self.lora_shared_B = factor(rank, c_in), factor(c_out, rank)
        if ranks:
            self.lora_tasks_A = nn.ParameterDict({task: factor(r, c_in) for task, r in ranks.items()})
            self.lora_tasks_B = nn.ParameterDict({task: factor(c_out, r) for task, r in ranks.items()})

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) + SCALE * x @ self.lora_shared_A.T @ self.lora_shared_B.T

    def of_tasks(self, x: Tensor, streams: Streams) -> Streams:
        """What tasks make of the shared stream and their own."""
        y = self.linear(x)
        factors = {task: (self.lora_tasks_A[task], self.lora_tasks_B[task]) for task in streams}
        return {
            task: y + SCALE * own @ factors[task][0].T @ factors[task][1].T for task, own in streams.items()
        }


class UpdatedBlock(Block):
    """A block whose linear layers have updates."""

    def update(self, rank: int, ranks: Mapping[str, int]) -> None:
        """Puts updates into all linear layers; those of tasks not into qkv."""
        self.attn.qkv = Updated(self.attn.qkv, rank, {})
        self.attn.proj = Updated(self.attn.proj, rank, ranks)
        for name in ("fc1", "fc2"):
            self.mlp[name] = Updated(self.mlp[name], rank, ranks)

    def of_tasks(self, x: Tensor, tasks: tuple[str, ...]) -> Streams:
        """The streams of tasks that begin behind the attention."""
        gathered = self.around(self.attn.gather, self.norm1(x))
        shared = x + self.attn.proj(gathered)
        own = self.attn.proj.of_tasks(gathered, dict.fromkeys(tasks, gathered))
        own = {task: x + y for task, y in own.items()}
        h, streams = self.norm2(shared), {task: self.norm2(y) for task, y in own.items()}
        streams = {task: F.gelu(y) for task, y in self.mlp["fc1"].of_tasks(h, streams).items()}
        streams = self.mlp["fc2"].of_tasks(F.gelu(self.mlp["fc1"](h)), streams)
        return {task: own[task] + y for task, y in streams.items()}


class Decoder(nn.Module):
    """Joined maps to a prediction."""

    def __init__(self, width: int, hidden: int, outputs: int) -> None:
        super().__init__()
        layers = (nn.Conv2d(width, hidden, 1), norm(hidden), nn.ReLU(), nn.Conv2d(hidden, outputs, 1))
        self.last_layer = nn.Sequential(*layers)


class MTLoRA(nn.Module):
    """All streams of every stage, every head and every prediction; the targets are called as the tasks are."""

    def __init__(self, spec: MTLoRASpec) -> None:
        super().__init__()
        self.tasks, swin = spec.tasks, spec.swin
        self.backbone = Backbone(swin, UpdatedBlock)
        ranks = dict(zip(spec.tasks, spec.task_ranks, strict=True))
        for stage in self.backbone.layers:
            for block in stage.blocks:
                block.update(spec.shared_rank, ranks if block is stage.blocks[-1] else {})
        widths = [swin.width << min(i + 1, len(swin.depths) - 1) for i in range(len(swin.depths))]
        reduced = [
            {
                f"downsample_{i}": nn.Conv2d(w, c, 1, bias=False)
                for i, (w, c) in enumerate(zip(widths, spec.channels, strict=True))
            }
            for _ in spec.tasks
        ]
        self.downsampler = nn.ModuleDict(
            {task: nn.ModuleDict(row) for task, row in zip(spec.tasks, reduced, strict=True)}
        )
        heads = [Decoder(sum(spec.channels), spec.hidden, outputs) for outputs in spec.outputs]
        self.decoders = nn.ModuleDict({"decoders": nn.ModuleDict(dict(zip(spec.tasks, heads, strict=True)))})

    def forward(self, x: Tensor, **targets: Tensor) -> dict[str, Tensor]:
        stages: dict[str, Tensor] = {}
        maps: dict[str, list[Tensor]] = {task: [] for task in self.tasks}
        h = self.backbone.embed(x)
        for i, stage in enumerate(self.backbone.layers):
            *blocks, last = stage.blocks
            for block in blocks:
                h = block(h)
            streams = last.of_tasks(h, self.tasks)
            h = stage.downsample(last(h))
            stages[f"stage{i}"] = h.permute(0, 3, 1, 2)
            for task, stream in streams.items():
                own = stages[f"stage{i}/{task}"] = stage.downsample(stream).permute(0, 3, 1, 2)
                maps[task].append(self.downsampler[task][f"downsample_{i}"](own))
        for task in self.tasks:
            wide = [F.interpolate(one, maps[task][0].shape[2:], mode="bilinear") for one in maps[task]]
            head = stages[f"head/{task}"] = self.decoders["decoders"][task].last_layer(torch.cat(wide, 1))
            stages[task] = F.interpolate(head, x.shape[2:], mode="bilinear")
        losses = [((stages[task] - targets[task]) ** 2).mean() for task in self.tasks]
        return {**stages, "loss": torch.stack(losses).sum()}


def factor(rows: int, columns: int) -> nn.Parameter:
    """One of the two matrices of an update, as if it had been trained."""
    return nn.Parameter(0.1 * torch.randn(rows, columns))
