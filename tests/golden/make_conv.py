"""Golden values of convolutions, pooling, interpolation and grid sampling, computed by PyTorch in f64.

Run as `python tests/golden/make_conv.py > crates/array/tests/golden/conv.json`. Inputs are not stored: both sides compute
them by `sample`. Each case holds its options, the value, and the gradients of the value's product with
`sample(value.shape, 3)`.
"""

import json
import torch
import torch.nn.functional as F


def sample(shape, seed):
    count = 1
    for size in shape:
        count *= size
    values = [((i * 7919 + seed * 104729) % 1009) / 504.5 - 1.0 for i in range(count)]
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def numbers(tensor):
    return [round(v, 12) for v in tensor.detach().flatten().tolist()]


def case(operation, options, shapes, function):
    inputs = [sample(shape, seed).requires_grad_() for seed, shape in enumerate(shapes, 1)]
    value = function(*inputs)
    (value * sample(list(value.shape), 3)).sum().backward()
    return {
        "operation": operation,
        "options": options,
        "inputs": shapes,
        "shape": list(value.shape),
        "value": numbers(value),
        "gradients": [numbers(torch.zeros_like(x) if x.grad is None else x.grad) for x in inputs],
    }


def convolutions():
    sizes = {1: [9], 2: [5, 4], 3: [3, 4, 2]}
    kernels = {1: [3], 2: [3, 2], 3: [2, 3, 2]}
    for axes in (1, 2, 3):
        for stride, padding, dilation, groups in [(1, 0, 1, 1), (1, 1, 1, 2), (2, 1, 1, 1), (1, 2, 2, 1), (2, 1, 2, 2), (3, 2, 1, 1)]:
            size = [s + dilation - 1 for s in sizes[axes]]
            options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
            conv = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
            yield case("conv", options, [[2, 2, *size], [4, 2 // groups, *kernels[axes]]],
                       lambda x, w: conv(x, w, None, stride, padding, dilation, groups))
            transposed = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[axes - 1]
            extra = stride - 1
            small = [3, 3, 3][:axes]
            yield case("conv_transpose", options | {"output_padding": extra},
                       [[1, 2, *small], [2, 2 // groups, *kernels[axes]]],
                       lambda x, w: transposed(x, w, None, stride, padding, extra, groups, dilation))


def pools():
    sizes = {1: [11], 2: [5, 6], 3: [4, 3, 4]}
    for axes in (1, 2, 3):
        x = [1, 2 if axes == 1 else 1, *sizes[axes]]
        for kernel, stride, padding, dilation, ceil in [(2, 2, 0, 1, False), (2, 2, 0, 1, True), (3, 2, 1, 1, True), (3, 1, 1, 1, False), (2, 3, 1, 2, True)]:
            options = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "ceil": ceil}
            maximum = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[axes - 1]
            yield case("max_pool", options, [x], lambda x: maximum(x, kernel, stride, padding, dilation, ceil))
            mean = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[axes - 1]
            for count in (False, True):
                if dilation == 1:
                    yield case("avg_pool", options | {"count_padding": count}, [x],
                               lambda x: mean(x, kernel, stride, padding, ceil, count))
        for size in (1, 3):
            maximum = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)[axes - 1]
            mean = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[axes - 1]
            yield case("adaptive_max_pool", {"size": size}, [x], lambda x: maximum(x, size))
            yield case("adaptive_avg_pool", {"size": size}, [x], lambda x: mean(x, size))


def interpolations():
    for size in ([5, 7], [2, 3], [1, 9], [8, 8]):
        yield case("interpolate", {"size": size, "method": "nearest", "align": False}, [[1, 1, 4, 5]],
                   lambda x: F.interpolate(x, size, mode="nearest"))
        for method in ("bilinear", "bicubic"):
            for align in (False, True):
                yield case("interpolate", {"size": size, "method": method, "align": align}, [[1, 1, 4, 5]],
                           lambda x: F.interpolate(x, size, mode=method, align_corners=align))
    for align in (False, True):
        yield case("interpolate", {"size": [9], "method": "bilinear", "align": align}, [[1, 2, 4]],
                   lambda x: F.interpolate(x, 9, mode="linear", align_corners=align))
        yield case("interpolate", {"size": [3, 4, 5], "method": "bilinear", "align": align}, [[1, 1, 2, 3, 4]],
                   lambda x: F.interpolate(x, [3, 4, 5], mode="trilinear", align_corners=align))


def grids():
    for method in ("bilinear", "nearest"):
        for padding in ("zeros", "border", "reflection"):
            for align in (False, True):
                # Twice as wide as the image, so that every kind of outside is met.
                yield case("grid_sample", {"method": method, "padding": padding, "align": align},
                           [[2, 2, 4, 5], [2, 3, 3, 2]],
                           lambda x, g: F.grid_sample(x, 2 * g, method, padding, align))


cases = [*convolutions(), *pools(), *interpolations(), *grids()]
print("[\n" + ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases) + "\n]")
