"""One dense layer with DoRA in plain PyTorch, under peft's names. Needs torch."""

from torch import Tensor, nn


class DoraLinear(nn.Module):
    """y = m / ‖W + s B A‖ · (W + s B A) x + b; the norms of the rows are held fixed in the gradient."""

    def __init__(self, c_in: int, c_out: int, rank: int, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.base_layer = nn.Linear(c_in, c_out).requires_grad_(False)
        self.lora_A = nn.Linear(c_in, rank, bias=False)
        self.lora_B = nn.Linear(rank, c_out, bias=False)
        self.lora_magnitude_vector = nn.ParameterDict({"weight": self.base_layer.weight.norm(dim=1) * 1.1})

    def forward(self, x: Tensor, target: Tensor) -> dict[str, Tensor]:
        weight = self.base_layer.weight + self.scale * self.lora_B.weight @ self.lora_A.weight
        norms = weight.norm(dim=1).detach()
        update = self.scale * self.lora_B(self.lora_A(x))
        factor = self.lora_magnitude_vector["weight"] / norms
        y = factor * (nn.functional.linear(x, self.base_layer.weight) + update) + self.base_layer.bias
        return {"norms": norms, "update": update, "y": y, "loss": ((y - target) ** 2).mean()}
