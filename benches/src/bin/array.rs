//! Times one case of the comparison with PyTorch: `array CASE REPETITIONS`, threads by `RAYON_NUM_THREADS`. Prints JSON: median
//! seconds and peak memory. `benches/array/run` calls it beside the same case in PyTorch.

use std::time::Instant;

use lisse::array::ops::{Conv, Pool};
use lisse::nn::losses::cross_entropy;
use lisse::optim::{Adam, LossOracle, Optimizer};
use lisse::{Array, DType, Stream, Tree, grad, hvp};
use lisse_benches::median;

#[derive(Clone, Tree)]
struct Dense {
    weight: Array,
    bias: Array,
}

impl Dense {
    fn new(inputs: usize, outputs: usize, stream: Stream) -> Dense {
        let scale = (1.0 / inputs as f64).sqrt();
        Dense {
            weight: stream.normal(&[outputs, inputs], DType::F32) * scale,
            bias: Array::zeros(&[outputs], DType::F32),
        }
    }
    fn forward(&self, x: &Array) -> Array {
        x.matmul(&self.weight.t()) + &self.bias
    }
}

/// 784-256-256-10 with ReLU.
fn mlp(stream: Stream) -> Vec<Dense> {
    [(784, 256), (256, 256), (256, 10)]
        .iter()
        .enumerate()
        .map(|(i, &(a, b))| Dense::new(a, b, stream.at(i as u64)))
        .collect()
}

fn mlp_loss(net: &[Dense], x: &Array, y: &Array) -> Array {
    let h = net[0].forward(x).relu();
    let h = net[1].forward(&h).relu();
    cross_entropy(&net[2].forward(&h), y)
}

/// Two 3x3 convolutions with pooling, two dense layers, on 28x28.
#[derive(Clone, Tree)]
struct ConvNet {
    first: Array,
    first_bias: Array,
    second: Array,
    second_bias: Array,
    hidden: Dense,
    head: Dense,
}

impl ConvNet {
    fn new(stream: Stream) -> ConvNet {
        let conv = |shape: &[usize], s: Stream| {
            s.normal(shape, DType::F32) * (1.0 / (shape[1] * 9) as f64).sqrt()
        };
        ConvNet {
            first: conv(&[32, 1, 3, 3], stream.at(0)),
            first_bias: Array::zeros(&[32], DType::F32),
            second: conv(&[64, 32, 3, 3], stream.at(1)),
            second_bias: Array::zeros(&[64], DType::F32),
            hidden: Dense::new(64 * 7 * 7, 128, stream.at(2)),
            head: Dense::new(128, 10, stream.at(3)),
        }
    }

    fn loss(&self, x: &Array, y: &Array) -> Array {
        let options = Conv::new(2).padding(1);
        let pool = Pool::new(&[2, 2]);
        let block = |x: &Array, w: &Array, b: &Array| {
            (x.conv(w, &options) + b.reshape(&[-1, 1, 1])).relu().max_pool(&pool)
        };
        let h = block(x, &self.first, &self.first_bias);
        let h = block(&h, &self.second, &self.second_bias);
        let h = self.hidden.forward(&h.reshape(&[x.dim(0) as isize, -1])).relu();
        cross_entropy(&self.head.forward(&h), y)
    }
}

/// One pre-norm transformer block of width 256 with 8 heads.
#[derive(Clone, Tree)]
struct Block {
    norm1: Dense2,
    qkv: Dense,
    projection: Dense,
    norm2: Dense2,
    up: Dense,
    down: Dense,
}

#[derive(Clone, Tree)]
struct Dense2 {
    weight: Array,
    bias: Array,
}

impl Dense2 {
    fn new(width: usize) -> Dense2 {
        Dense2 {
            weight: Array::ones(&[width], DType::F32),
            bias: Array::zeros(&[width], DType::F32),
        }
    }
    fn forward(&self, x: &Array) -> Array {
        x.layer_norm(1e-5) * &self.weight + &self.bias
    }
}

const WIDTH: usize = 256;
const HEADS: usize = 8;

impl Block {
    fn new(stream: Stream) -> Block {
        Block {
            norm1: Dense2::new(WIDTH),
            qkv: Dense::new(WIDTH, 3 * WIDTH, stream.at(0)),
            projection: Dense::new(WIDTH, WIDTH, stream.at(1)),
            norm2: Dense2::new(WIDTH),
            up: Dense::new(WIDTH, 4 * WIDTH, stream.at(2)),
            down: Dense::new(4 * WIDTH, WIDTH, stream.at(3)),
        }
    }

    fn forward(&self, x: &Array, mask: &Array) -> Array {
        let (batch, tokens) = (x.dim(0) as isize, x.dim(1) as isize);
        let depth = (WIDTH / HEADS) as isize;
        let qkv = self.qkv.forward(&self.norm1.forward(x));
        let qkv = qkv.reshape(&[batch, tokens, 3, HEADS as isize, depth]).permute(&[2, 0, 3, 1, 4]);
        let (q, k, v) = (qkv.index(0, 0), qkv.index(0, 1), qkv.index(0, 2));
        let scores = q.matmul(&k.t()) * (1.0 / (depth as f64).sqrt()) + mask;
        let mixed = scores.softmax(-1).matmul(&v);
        let mixed = mixed.permute(&[0, 2, 1, 3]).reshape(&[batch, tokens, WIDTH as isize]);
        let x = x + self.projection.forward(&mixed);
        let h = self.up.forward(&self.norm2.forward(&x)).gelu();
        x + self.down.forward(&h)
    }
}

/// A closure that makes one Adam step of `params` on `loss`.
fn adam_step<P: Tree>(mut params: P, loss: impl Fn(&P) -> Array) -> impl FnMut() {
    let optimizer = Adam::new(1e-3);
    let mut state = optimizer.init(&params);
    let mut oracle = LossOracle(loss);
    move || {
        optimizer.step(&mut params, &mut state, &mut oracle);
    }
}

fn labels(n: usize) -> Array {
    Array::from_vec((0..n as i64).map(|i| i % 10).collect(), &[n])
}

fn time(case: &str, repetitions: usize) -> Option<f64> {
    let stream = Stream::new(0);
    let x = stream.child("x");
    Some(match case {
        "mlp_adam_step" => {
            let (x, y) = (x.normal(&[128, 784], DType::F32), labels(128));
            median(
                repetitions,
                adam_step(mlp(stream), move |net: &Vec<Dense>| mlp_loss(net, &x, &y)),
            )
        }
        "mlp_gradient" => {
            let (x, y, net) = (x.normal(&[128, 784], DType::F32), labels(128), mlp(stream));
            median(repetitions, || {
                grad(|net: &Vec<Dense>| mlp_loss(net, &x, &y))(&net);
            })
        }
        "mlp_hessian_vector_product" => {
            let (x, y, net) = (x.normal(&[128, 784], DType::F32), labels(128), mlp(stream));
            let v = mlp(stream.child("v"));
            median(repetitions, || {
                hvp(|net: &Vec<Dense>| mlp_loss(net, &x, &y), &net, &v);
            })
        }
        "conv_adam_step" => {
            let (x, y) = (x.normal(&[64, 1, 28, 28], DType::F32), labels(64));
            median(
                repetitions,
                adam_step(ConvNet::new(stream), move |net: &ConvNet| net.loss(&x, &y)),
            )
        }
        "gpt_block_adam_step" => {
            let x = x.normal(&[8, 128, WIDTH], DType::F32);
            let mask = Array::full(&[128, 128], -1e9, DType::F32).triu(1);
            let loss = move |block: &Block| block.forward(&x, &mask).square().mean_all();
            median(repetitions, adam_step(Block::new(stream), loss))
        }
        "chain_1000_matmul_tanh_32" => {
            let w = x.normal(&[32, 32], DType::F32) * 0.2;
            let start = stream.normal(&[32, 32], DType::F32);
            median(repetitions, || {
                let mut h = start.clone();
                for _ in 0..1000 {
                    h = h.matmul(&w).tanh();
                }
            })
        }
        "exp_mul_add_4m" => {
            let x = x.normal(&[1 << 22], DType::F32);
            median(repetitions, || {
                let _ = x.exp() * &x + &x;
            })
        }
        "sum_4m" => {
            let x = x.normal(&[1 << 22], DType::F32);
            median(repetitions, || {
                let _ = x.sum_all();
            })
        }
        "recording_per_operation" => recording(repetitions),
        _ => return None,
    })
}

/// Seconds that recording adds to one operation: a chain of additions to one number, recorded and not. The backward pass is not timed.
fn recording(repetitions: usize) -> f64 {
    const OPERATIONS: usize = 10_000;
    let x = Array::scalar(1.0f32);
    let chain = |x: &Array| {
        let mut y = x.clone();
        for _ in 0..OPERATIONS {
            y = &y + 1.0;
        }
        y
    };
    let plain = median(repetitions, || {
        chain(&x);
    });
    let mut times: Vec<f64> = (0..repetitions)
        .map(|_| {
            let mut elapsed = 0.0;
            let timed = |x: &Array| {
                let clock = Instant::now();
                let y = chain(x);
                elapsed = clock.elapsed().as_secs_f64();
                y
            };
            let _ = lisse::vjp(timed, &x);
            elapsed
        })
        .collect();
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2] - plain) / OPERATIONS as f64
}

fn main() {
    lisse_benches::run_case("array", time);
}
