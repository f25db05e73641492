"""Golden values of PyTorch modules for tests/golden.rs.

    python make_nn.py            # needs torch alone; writes nn.safetensors beside itself

Every case has parameters, inputs, outputs, one cotangent per output, and the gradients of sum(output * cotangent) with
respect to parameters and inputs. Parameters and inputs are rounded to f32, everything is computed in f64 and stored as f32,
so that a reader in either precision starts from the same numbers. Names in the file: `case/param/NAME`,
`case/input/NAME`, `case/output/NAME`, `case/cotangent/NAME`, `case/grad/param/NAME`, `case/grad/input/NAME`,
`case/buffer/NAME` (buffers after a training pass).
"""

import json
import pathlib
import struct

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(20)
torch.set_default_dtype(torch.float64)
tensors = {}


def rounded(x):
    return x.detach().float().double() if x.is_floating_point() else x


def normal(*shape, scale=1.0):
    return rounded(torch.randn(tuple(shape)) * scale)


def perturbed(module):
    """Parameters in general position: PyTorch starts biases at zero and scales at one."""
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(rounded(p + 0.1 * torch.randn_like(p)))
        for name, b in module.named_buffers():
            if b.is_floating_point():
                noise = torch.randn_like(b) * 0.3
                b.copy_(rounded(noise.abs() + 0.5 if name.endswith("var") else noise))
    return module


def store(name, x):
    assert name not in tensors, name
    tensors[name] = x.detach().clone()


def case(name, module, inputs, run=None, training=False):
    """Runs `run(module, **inputs)` (or the module on the only input) and stores all there is to compare."""
    module.train(training)
    for key, p in module.state_dict().items():
        store(f"{name}/param/{key}", p)
    leaves = {}
    for key, x in inputs.items():
        store(f"{name}/input/{key}", x)
        leaves[key] = x.clone().requires_grad_() if x.is_floating_point() else x
    outputs = run(module, **leaves) if run else module(*leaves.values())
    if not isinstance(outputs, dict):
        outputs = {"y": outputs}
    total = 0.0
    for key, y in outputs.items():
        cotangent = normal(*y.shape)
        store(f"{name}/output/{key}", y)
        store(f"{name}/cotangent/{key}", cotangent)
        total = total + (y * cotangent).sum()
    wanted = {f"param/{key}": p for key, p in module.named_parameters()}
    wanted |= {f"input/{key}": x for key, x in leaves.items() if x.requires_grad}
    gradients = torch.autograd.grad(total, list(wanted.values()), allow_unused=True)
    for key, g in zip(wanted, gradients):
        store(f"{name}/grad/{key}", torch.zeros_like(wanted[key]) if g is None else g)
    if training:
        for key, b in module.named_buffers():
            store(f"{name}/buffer/{key}", b)


def layers():
    case("linear", perturbed(nn.Linear(5, 3)), {"x": normal(2, 4, 5)})
    case("conv1d", perturbed(nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=2)), {"x": normal(2, 4, 9)})
    case("conv2d", perturbed(nn.Conv2d(3, 4, 3, stride=2, padding=2, dilation=2)), {"x": normal(2, 3, 7, 8)})
    case("conv3d", perturbed(nn.Conv3d(2, 3, 2, padding=1)), {"x": normal(1, 2, 3, 4, 3)})
    case("conv_transpose1d", perturbed(nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, groups=2)), {"x": normal(2, 4, 5)})
    case(
        "conv_transpose2d",
        perturbed(nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, output_padding=1, dilation=2)),
        {"x": normal(2, 3, 4, 3)},
    )
    case("embedding", perturbed(nn.Embedding(7, 3)), {"x": torch.tensor([[1, 6, 0], [6, 6, 2]])})
    case("layer_norm", perturbed(nn.LayerNorm(6)), {"x": normal(2, 3, 6)})
    case("layer_norm_2d", perturbed(nn.LayerNorm((3, 4))), {"x": normal(2, 3, 4)})
    case("group_norm", perturbed(nn.GroupNorm(2, 6)), {"x": normal(2, 6, 3, 2)})
    case("rms_norm", perturbed(nn.RMSNorm(6, eps=1e-6)), {"x": normal(2, 3, 6)})
    case("batch_norm1d", perturbed(nn.BatchNorm1d(4)), {"x": normal(6, 4)})
    case("batch_norm1d_train", perturbed(nn.BatchNorm1d(4)), {"x": normal(6, 4)}, training=True)
    case("batch_norm2d_train", perturbed(nn.BatchNorm2d(3)), {"x": normal(2, 3, 4, 3)}, training=True)


def pooling():
    x = {"x": normal(2, 3, 6, 6)}
    case("max_pool", nn.MaxPool2d(2), x)
    case("avg_pool", nn.AvgPool2d(2), x)
    case("global_avg_pool", nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), x)
    case("global_max_pool", nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten()), x)


def activations():
    modules = {
        "identity": nn.Identity(), "relu": nn.ReLU(), "relu6": nn.ReLU6(), "leaky_relu": nn.LeakyReLU(0.1),
        "elu": nn.ELU(1.3), "selu": nn.SELU(), "gelu": nn.GELU(), "gelu_tanh": nn.GELU(approximate="tanh"),
        "silu": nn.SiLU(), "mish": nn.Mish(), "tanh": nn.Tanh(), "hard_tanh": nn.Hardtanh(), "sigmoid": nn.Sigmoid(),
        "log_sigmoid": nn.LogSigmoid(), "hard_sigmoid": nn.Hardsigmoid(), "hard_swish": nn.Hardswish(),
        "softplus": nn.Softplus(), "softsign": nn.Softsign(),
    }
    for name, module in modules.items():
        case(f"activation_{name}", module, {"x": normal(24, scale=3.0)})


def attention():
    padding = torch.tensor([[False, False, True, True], [False, False, False, False]])
    causal = nn.Transformer.generate_square_subsequent_mask(4, dtype=torch.float64).isinf()

    def mha():
        return perturbed(nn.MultiheadAttention(6, 2, batch_first=True))

    def call(m, q, k, v, **options):
        return m(q, k, v, need_weights=False, **options)[0]

    case("mha_self", mha(), {"x": normal(2, 4, 6)}, lambda m, x: call(m, x, x, x))
    case("mha_causal", mha(), {"x": normal(2, 4, 6)}, lambda m, x: call(m, x, x, x, attn_mask=causal))
    case("mha_padding", mha(), {"x": normal(2, 4, 6)}, lambda m, x: call(m, x, x, x, key_padding_mask=padding))
    case(
        "mha_causal_padding", mha(), {"x": normal(2, 4, 6)},
        lambda m, x: call(m, x, x, x, key_padding_mask=padding, attn_mask=causal),
    )
    case(
        "mha_cross", mha(), {"q": normal(2, 3, 6), "k": normal(2, 4, 6), "v": normal(2, 4, 6)},
        lambda m, q, k, v: call(m, q, k, v, key_padding_mask=padding),
    )

    class GroupedQuery(nn.Module):
        """Llama's attention as Hugging Face writes it."""

        heads, key_heads, width = 4, 2, 4

        def __init__(self, inputs=8):
            super().__init__()
            self.q_proj = nn.Linear(inputs, self.heads * self.width, bias=False)
            self.k_proj = nn.Linear(inputs, self.key_heads * self.width, bias=False)
            self.v_proj = nn.Linear(inputs, self.key_heads * self.width, bias=False)
            self.o_proj = nn.Linear(self.heads * self.width, inputs, bias=False)

        def rotate(self, x):
            frequencies = 1.0 / (10000.0 ** (torch.arange(0, self.width, 2) / self.width))
            angles = torch.outer(torch.arange(x.shape[2]).double(), frequencies)
            angles = torch.cat((angles, angles), dim=-1)
            a, b = x.chunk(2, dim=-1)
            return x * angles.cos() + torch.cat((-b, a), dim=-1) * angles.sin()

        def forward(self, x):
            batch, time, _ = x.shape
            split = lambda y: y.view(batch, time, -1, self.width).transpose(1, 2)
            q, k, v = self.rotate(split(self.q_proj(x))), self.rotate(split(self.k_proj(x))), split(self.v_proj(x))
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
            return self.o_proj(y.transpose(1, 2).reshape(batch, time, -1))

    case("grouped_query", perturbed(GroupedQuery()), {"x": normal(2, 5, 8)})


def recurrent():
    def run_lstm(m, x, h, c):
        y, (hn, cn) = m(x, (h, c))
        return {"y": y, "hidden": hn, "cell": cn}

    def run_gru(m, x, h):
        y, hn = m(x, h)
        return {"y": y, "hidden": hn}

    x, h, c = normal(2, 5, 3), normal(2, 2, 4), normal(2, 2, 4)
    case("lstm", perturbed(nn.LSTM(3, 4, num_layers=2, batch_first=True)), {"x": x, "h": h, "c": c}, run_lstm)
    case("gru", perturbed(nn.GRU(3, 4, num_layers=2, batch_first=True)), {"x": x, "h": h}, run_gru)


def losses():
    empty = nn.Module()
    logits, target = normal(5, 4, scale=2.0), torch.tensor([0, 3, -100, 1, 2])
    weight = rounded(torch.rand(4) + 0.5)
    for reduction in ["mean", "sum", "none"]:
        classes = {
            "plain": lambda m, x, t: F.cross_entropy(x, t.clamp(min=0), reduction=reduction),
            "all": lambda m, x, t, w: F.cross_entropy(
                x, t, weight=w.detach(), label_smoothing=0.2, reduction=reduction
            ),
            "smooth": lambda m, x, t: F.cross_entropy(x, t, label_smoothing=0.1, reduction=reduction),
        }
        for name, f in classes.items():
            inputs = {"x": logits, "t": target} | ({"w": weight} if name == "all" else {})
            case(f"cross_entropy_{name}_{reduction}", empty, inputs, f)
        case(
            f"nll_{reduction}", empty, {"x": logits, "t": target.clamp(min=0)},
            lambda m, x, t: F.nll_loss(F.log_softmax(x, 1), t, reduction=reduction),
        )
        case(
            f"multi_margin_{reduction}", empty, {"x": logits, "t": target.clamp(min=0)},
            lambda m, x, t: F.multi_margin_loss(x, t, reduction=reduction),
        )
    case(
        "cross_entropy_image", empty, {"x": normal(2, 3, 2, 4), "t": torch.randint(0, 3, (2, 2, 4))},
        lambda m, x, t: F.cross_entropy(x, t),
    )
    p = rounded(torch.softmax(normal(5, 4), 1))
    case("cross_entropy_soft", empty, {"x": logits, "p": p}, lambda m, x, p: F.cross_entropy(x, p))
    a, b = normal(3, 4, scale=2.0), normal(3, 4)
    unit = rounded(torch.rand(3, 4))
    positive = rounded(torch.rand(4) + 0.5)
    case("mse", empty, {"x": a, "t": b}, lambda m, x, t: F.mse_loss(x, t))
    case("huber", empty, {"x": a, "t": b}, lambda m, x, t: F.huber_loss(x, t, delta=0.7))
    case("bce", empty, {"x": a, "t": unit}, lambda m, x, t: F.binary_cross_entropy_with_logits(x, t))
    case(
        "bce_weighted", empty, {"x": a, "t": unit, "w": positive},
        lambda m, x, t, w: F.binary_cross_entropy_with_logits(x, t, pos_weight=w.detach()),
    )
    q, p = torch.log_softmax(a, 1), rounded(torch.softmax(b, 1))
    case("kl_div", empty, {"x": rounded(q), "t": p}, lambda m, x, t: F.kl_div(x, t, reduction="batchmean"))
    case(
        "kl_div_log", empty, {"x": rounded(q), "t": rounded(p.log())},
        lambda m, x, t: F.kl_div(x, t, reduction="sum", log_target=True),
    )


class CifarBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        extra = y.shape[1] - x.shape[1]
        if extra:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, extra // 2, extra // 2))
        return F.relu(y + x)


class CifarResNet(nn.Module):
    def __init__(self, n=3, width=4, classes=10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)

        def stage(inputs, outputs):
            return nn.Sequential(*[CifarBlock(inputs if i == 0 else outputs, outputs) for i in range(n)])

        self.layer1, self.layer2 = stage(width, width), stage(width, 2 * width)
        self.layer3, self.linear = stage(2 * width, 4 * width), nn.Linear(4 * width, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


class Block(nn.Module):
    """torchvision's basic block and bottleneck."""

    def __init__(self, inputs, width, stride, bottleneck):
        super().__init__()
        outputs = 4 * width if bottleneck else width
        first, second = ((1, 1), (3, stride)) if bottleneck else ((3, stride), (3, 1))
        self.conv1 = nn.Conv2d(inputs, width, first[0], first[1], first[0] // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, second[0], second[1], 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        if bottleneck:
            self.conv3, self.bn3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if hasattr(self, "conv3"):
            y = self.bn3(self.conv3(F.relu(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, blocks, width, bottleneck, classes=5):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        inputs = width
        for number, count in enumerate(blocks, 1):
            stage = []
            for i in range(count):
                own = width * 2 ** (number - 1)
                stage.append(Block(inputs, own, 2 if i == 0 and number > 1 else 1, bottleneck))
                inputs = 4 * own if bottleneck else own
            setattr(self, f"layer{number}", nn.Sequential(*stage))
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        return self.fc(self.layer4(self.layer3(self.layer2(self.layer1(x)))).mean((2, 3)))


class VitBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, eps=1e-6), nn.LayerNorm(width, eps=1e-6)
        self.attn = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width), "proj": nn.Linear(width, width)})
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.attn["qkv"](self.norm1(x)).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c)
        x = x + self.attn["proj"](y)
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))


class VisionTransformer(nn.Module):
    """timm's VisionTransformer."""

    def __init__(self, size=8, patch=4, width=8, depth=2, heads=2, classes=5):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, 1 + (size // patch) ** 2, width))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.blocks = nn.Sequential(*[VitBlock(width, heads) for _ in range(depth)])
        self.norm, self.head = nn.LayerNorm(width, eps=1e-6), nn.Linear(width, classes)

    def forward(self, x):
        x = self.patch_embed["proj"](x).flatten(2).transpose(1, 2)
        x = torch.cat((self.cls_token.expand(x.shape[0], -1, -1), x), dim=1) + self.pos_embed
        return self.head(self.norm(self.blocks(x))[:, 0])


class Conv1D(nn.Module):
    """GPT-2's linear layer with a transposed weight."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(inputs, outputs) * 0.2)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return x @ self.weight + self.bias


class GptBlock(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.ModuleDict({"c_attn": Conv1D(width, 3 * width), "c_proj": Conv1D(width, width)})
        self.mlp = nn.ModuleDict({"c_fc": Conv1D(width, 4 * width), "c_proj": Conv1D(4 * width, width)})

    def forward(self, x):
        b, t, c = x.shape
        q, k, v = self.attn["c_attn"](self.ln_1(x)).split(c, dim=2)
        q, k, v = (y.view(b, t, self.heads, -1).transpose(1, 2) for y in (q, k, v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, c)
        x = x + self.attn["c_proj"](y)
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, vocabulary=11, context=6, width=8, depth=2, heads=2):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.h = nn.Sequential(*[GptBlock(width, heads) for _ in range(depth)])
        self.ln_f = nn.LayerNorm(width)

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1]))
        return self.ln_f(self.h(x)) @ self.wte.weight.T


class LeNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(64, 120), nn.Linear(120, 84), nn.Linear(84, 3)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))


def models():
    case("cifar_resnet20", perturbed(CifarResNet()), {"x": normal(2, 3, 16, 16)})
    case("cifar_resnet20_train", perturbed(CifarResNet(width=2)), {"x": normal(3, 3, 16, 16)}, training=True)
    case("resnet_basic", perturbed(ResNet([1, 1, 1, 1], 2, False)), {"x": normal(1, 3, 32, 32)})
    case("resnet_bottleneck", perturbed(ResNet([1, 2, 1, 1], 2, True)), {"x": normal(1, 3, 32, 32)})
    case("vision_transformer", perturbed(VisionTransformer()), {"x": normal(2, 3, 8, 8)})
    case("gpt", perturbed(Gpt()), {"x": torch.tensor([[1, 10, 3, 3, 0], [7, 2, 9, 4, 5]])})
    case("lenet", perturbed(LeNet()), {"x": normal(2, 1, 20, 20)})


def write(path):
    header, data, offset = {}, [], 0
    for name in sorted(tensors, key=lambda n: (tensors[n].is_floating_point(), n)):
        x = tensors[name].contiguous()
        x = x.float() if x.is_floating_point() else x.long()
        raw = x.numpy().tobytes()
        dtype = "F32" if x.is_floating_point() else "I64"
        header[name] = {"dtype": dtype, "shape": list(x.shape), "data_offsets": [offset, offset + len(raw)]}
        offset += len(raw)
        data.append(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))
    print(f"{path.name}: {len(tensors)} tensors, {8 + len(text) + offset} bytes")


if __name__ == "__main__":
    layers()
    pooling()
    activations()
    attention()
    recurrent()
    losses()
    models()
    write(pathlib.Path(__file__).with_name("nn.safetensors"))
