//! Layers, losses and models against PyTorch modules of the same weights: outputs, gradients of parameters and inputs, and
//! the buffers that a training pass leaves. `golden/make_nn.py` made the values and says how they are named.
//!
//! Every comparison runs in f64 and in f32. The distance of two arrays is relative to the largest element of PyTorch's; the values are
//! stored in f32.

#![expect(clippy::print_stdout, reason = "the largest differences, for who asks with --nocapture")]

use std::collections::BTreeMap;

use lisse_array::{Array, DType, Stream, Tree, vjp};
use lisse_nn::losses::{self, CrossEntropy, Reduction};
use lisse_nn::models::*;
use lisse_nn::weights::{LoadOptions, read};
use lisse_nn::*;

/// The arrays of one case by what follows its name.
type Arrays = BTreeMap<String, Array>;

fn golden() -> BTreeMap<String, Arrays> {
    let mut cases: BTreeMap<String, Arrays> = BTreeMap::new();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/nn.safetensors");
    for (name, array) in read(path).unwrap() {
        let (case, rest) = name.split_once('/').unwrap();
        cases.entry(case.to_string()).or_default().insert(rest.to_string(), array);
    }
    cases
}

fn below(arrays: &Arrays, prefix: &str, dtype: DType) -> Arrays {
    let named = arrays.iter().filter_map(|(name, a)| Some((name.strip_prefix(prefix)?, a)));
    named.map(|(name, a)| (name.to_string(), to_dtype(a, dtype))).collect()
}

/// Largest difference relative to the largest element of the second.
fn distance(a: &Array, b: &Array) -> f64 {
    assert_eq!(a.shape(), b.shape());
    let (a, b) = (a.to_f64_vec(), b.to_f64_vec());
    let scale = b.iter().fold(0.0f64, |m, v| m.max(v.abs())).max(1e-3);
    a.iter().zip(&b).fold(0.0, |m: f64, (x, y)| m.max((x - y).abs())) / scale
}

struct Golden {
    cases: BTreeMap<String, Arrays>,
    worst: Vec<(String, f64)>,
    failures: Vec<String>,
}

impl Golden {
    fn new() -> Golden {
        Golden { cases: golden(), worst: Vec::new(), failures: Vec::new() }
    }

    /// Compares a model run as `run(model, inputs, context) -> outputs` with the case `name`.
    fn case<M: Tree>(
        &mut self,
        name: &str,
        model: &M,
        run: impl Fn(&M, &Arrays, &Context) -> Vec<(&'static str, Array)>,
    ) {
        let arrays = self.cases.remove(name).unwrap_or_else(|| panic!("no case {name}"));
        // In this case one gradient is a small difference of large terms: PyTorch's own f32 is 2.6e-5 away from its f64.
        let single = if name == "cifar_resnet20_train" { 3e-5 } else { 1e-5 };
        for (dtype, tolerance) in [(DType::F64, 1e-6), (DType::F32, single)] {
            self.compare(name, &arrays, &to_dtype(model, dtype), &run, dtype, tolerance);
        }
    }

    fn compare<M: Tree>(
        &mut self,
        name: &str,
        arrays: &Arrays,
        model: &M,
        run: &impl Fn(&M, &Arrays, &Context) -> Vec<(&'static str, Array)>,
        dtype: DType,
        tolerance: f64,
    ) {
        // The loader itself is part of what is tested: parameters go through a file, by name.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("case.safetensors");
        weights::save(&path, &below(arrays, "param/", dtype)).unwrap();
        let (model, _) = LoadOptions::new()
            .load_into(&path, model)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let inputs = below(arrays, "input/", dtype);
        let training = arrays.keys().any(|key| key.starts_with("buffer/"));
        let context = if training { Context::train(Stream::new(0)) } else { Context::eval() };
        let forward = |(model, inputs): &(M, Arrays)| {
            let outputs = run(model, inputs, &context);
            outputs.into_iter().map(|(key, y)| (key.to_string(), y)).collect::<Arrays>()
        };
        let (outputs, pullback) = vjp(forward, &(model.clone(), inputs));
        let (for_model, for_inputs) = pullback(&below(arrays, "cotangent/", dtype));
        let mut moved = model;
        context.apply_updates(&mut moved);
        for (kind, found) in [
            ("output/", named(&outputs)),
            ("grad/param/", named(&for_model)),
            ("grad/input/", named(&for_inputs)),
            ("buffer/", named(&moved)),
        ] {
            for (key, expected) in below(arrays, kind, dtype) {
                let error = distance(&found[&key], &expected);
                self.worst.push((format!("{name} {kind}{key} {dtype}"), error));
                if error.is_nan() || error > tolerance {
                    self.failures.push(format!("{name} {kind}{key} {dtype}: {error:e}"));
                }
            }
        }
    }

    fn layer<M: Tree>(
        &mut self,
        name: &str,
        model: &M,
        run: impl Fn(&M, &Array, &Context) -> Array,
    ) {
        self.case(name, model, |m, inputs, context| vec![("y", run(m, &inputs["x"], context))]);
    }

    fn loss(&mut self, name: &str, run: impl Fn(&Arrays) -> Array) {
        self.case(name, &(), |(), inputs, _| vec![("y", run(inputs))]);
    }

    fn finish(self) {
        assert!(self.failures.is_empty(), "{}", self.failures.join("\n"));
        let left: Vec<String> = self.cases.into_keys().collect();
        assert!(left.is_empty(), "cases not compared: {left:?}");
        for dtype in ["f64", "f32"] {
            let of_dtype = self.worst.iter().filter(|(name, _)| name.ends_with(dtype));
            let worst = of_dtype.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
            println!("largest relative difference: {:.1e}, {}", worst.1, worst.0);
        }
    }
}

fn named<T: Tree>(tree: &T) -> Arrays {
    tree.named_leaves().into_iter().map(|(name, leaf)| (name, leaf.clone())).collect()
}

#[test]
fn agrees_with_pytorch() {
    let mut golden = Golden::new();
    layers(&mut golden);
    pooling_and_activations(&mut golden);
    attention(&mut golden);
    recurrent(&mut golden);
    class_losses(&mut golden);
    other_losses(&mut golden);
    models(&mut golden);
    golden.finish();
}

/// Any stream: the initial values are replaced by those of the file.
fn s() -> Stream {
    Stream::new(0)
}

fn layers(golden: &mut Golden) {
    golden.layer("linear", &Linear::new(5, 3, &s()), |m, x, _| m.forward(x));
    let conv = ConvConfig::<1>::new(4, 6, 3).stride(2).padding(1).groups(2);
    golden.layer("conv1d", &conv.build(&s()), |m: &Conv1d, x, _| m.forward(x));
    golden.layer(
        "conv_transpose1d",
        &ConvTransposeConfig::new(conv).build(&s()),
        |m: &ConvTranspose1d, x, _| m.forward(x),
    );
    let conv = ConvConfig::<2>::new(3, 4, 3).stride(2).padding(2).dilation(2);
    golden.layer("conv2d", &conv.build(&s()), |m: &Conv2d, x, _| m.forward(x));
    let conv = ConvConfig::<3>::new(2, 3, 2).padding(1);
    golden.layer("conv3d", &conv.build(&s()), |m: &Conv3d, x, _| m.forward(x));
    let conv = ConvConfig::<2>::new(3, 2, 3).stride(2).padding(1).dilation(2);
    golden.layer(
        "conv_transpose2d",
        &ConvTransposeConfig::new(conv).output_padding(1).build(&s()),
        |m: &ConvTranspose2d, x, _| m.forward(x),
    );
    golden.layer("embedding", &Embedding::new(7, 3, &s()), |m, x, _| m.forward(x));
    golden.layer("layer_norm", &LayerNorm::new(&[6]), |m, x, _| m.forward(x));
    golden.layer("layer_norm_2d", &LayerNorm::new(&[3, 4]), |m, x, _| m.forward(x));
    golden.layer("group_norm", &GroupNorm::new(2, 6), |m, x, _| m.forward(x));
    golden.layer("rms_norm", &RmsNorm::new(6), |m, x, _| m.forward(x));
    golden.layer("batch_norm1d", &BatchNorm::new(4), BatchNorm::forward);
    golden.layer("batch_norm1d_train", &BatchNorm::new(4), BatchNorm::forward);
    golden.layer("batch_norm2d_train", &BatchNorm::new(3), BatchNorm::forward);
}

fn pooling_and_activations(golden: &mut Golden) {
    golden.layer("max_pool", &(), |(), x, _| pool::max_pool(x, 2));
    golden.layer("avg_pool", &(), |(), x, _| pool::avg_pool(x, 2));
    golden.layer("global_avg_pool", &(), |(), x, _| pool::global_avg_pool(x));
    golden.layer("global_max_pool", &(), |(), x, _| pool::global_max_pool(x));
    for name in [
        "identity",
        "relu",
        "relu6",
        "selu",
        "gelu",
        "gelu_tanh",
        "silu",
        "mish",
        "tanh",
        "hard_tanh",
        "sigmoid",
        "log_sigmoid",
        "hard_sigmoid",
        "hard_swish",
        "softplus",
        "softsign",
    ] {
        let activation: Activation = serde_json::from_str(&format!("\"{name}\"")).unwrap();
        golden.layer(&format!("activation_{name}"), &activation, |m, x, _| m.forward(x));
    }
    golden.layer("activation_leaky_relu", &Activation::LeakyRelu(0.1), |m, x, _| m.forward(x));
    golden.layer("activation_elu", &Activation::Elu(1.3), |m, x, _| m.forward(x));
}

fn attention(golden: &mut Golden) {
    let layer = MultiHeadAttentionConfig::new(6, 2).build(&s());
    let padding =
        Array::from_slice(&[false, false, true, true, false, false, false, false], &[2, 4]);
    let (none, causal) = (AttentionMask::none(), AttentionMask::causal());
    for (name, mask) in [
        ("mha_self", none),
        ("mha_causal", causal),
        ("mha_padding", none.with_padding(&padding)),
        ("mha_causal_padding", causal.with_padding(&padding)),
    ] {
        golden.layer(name, &layer, |m, x, c| m.self_attention(x, &mask, c));
    }
    let mask = none.with_padding(&padding);
    golden.case("mha_cross", &layer, |m, i, c| {
        vec![("y", m.forward(&i["q"], &i["k"], &i["v"], &mask, c))]
    });
    let layer = GroupedQueryConfig::new(8, 4, 2);
    let layer = GroupedQueryConfig { head_width: 4, ..layer }.build(&s());
    golden.layer("grouped_query", &layer, |m, x, c| m.forward(x, &causal, c));
}

fn recurrent(golden: &mut Golden) {
    let config = RecurrentConfig::new(3, 4).layers(2);
    golden.case("lstm", &config.lstm(&s()), |m, i, c| {
        let start = recurrent::LstmState { hidden: i["h"].clone(), cell: i["c"].clone() };
        let (y, end) = m.forward(&i["x"], Some(&start), c);
        vec![("y", y), ("hidden", end.hidden), ("cell", end.cell)]
    });
    golden.case("gru", &config.gru(&s()), |m, i, c| {
        let (y, end) = m.forward(&i["x"], Some(&i["h"]), c);
        vec![("y", y), ("hidden", end)]
    });
}

fn class_losses(golden: &mut Golden) {
    let clamp = |t: &Array| {
        let t: Vec<i64> = t.to_vec::<i64>().into_iter().map(|t| t.max(0)).collect();
        let count = t.len();
        Array::from_vec(t, &[count])
    };
    for (name, reduction) in
        [("mean", Reduction::Mean), ("sum", Reduction::Sum), ("none", Reduction::None)]
    {
        let plain = CrossEntropy { reduction, ..CrossEntropy::default() };
        golden
            .loss(&format!("cross_entropy_plain_{name}"), |i| plain.loss(&i["x"], &clamp(&i["t"])));
        let smooth = CrossEntropy {
            label_smoothing: 0.1,
            ignore_index: Some(-100),
            reduction,
            ..CrossEntropy::default()
        };
        golden.loss(&format!("cross_entropy_smooth_{name}"), |i| smooth.loss(&i["x"], &i["t"]));
        golden.loss(&format!("cross_entropy_all_{name}"), |i| {
            let class_weights = Some(i["w"].stop_gradient());
            let all = CrossEntropy { label_smoothing: 0.2, class_weights, ..smooth.clone() };
            all.loss(&i["x"], &i["t"])
        });
        golden.loss(&format!("nll_{name}"), |i| {
            losses::nll(&i["x"].log_softmax(1), &clamp(&i["t"]), reduction)
        });
        golden.loss(&format!("multi_margin_{name}"), |i| {
            losses::multiclass_hinge(&i["x"], &clamp(&i["t"]), 1.0, reduction)
        });
    }
    golden.loss("cross_entropy_image", |i| losses::cross_entropy(&i["x"], &i["t"]));
    golden.loss("cross_entropy_soft", |i| {
        losses::soft_cross_entropy(&i["x"], &i["p"], Reduction::Mean)
    });
}

fn other_losses(golden: &mut Golden) {
    let mean = Reduction::Mean;
    golden.loss("mse", |i| losses::mse(&i["x"], &i["t"], mean));
    golden.loss("huber", |i| losses::huber(&i["x"], &i["t"], 0.7, mean));
    golden.loss("bce", |i| losses::bce_with_logits(&i["x"], &i["t"], mean));
    golden.loss("bce_weighted", |i| {
        losses::weighted_bce_with_logits(&i["x"], &i["t"], &i["w"].stop_gradient(), mean)
    });
    golden.loss("kl_div", |i| losses::kl_div(&i["x"], &i["t"], Reduction::BatchMean));
    golden.loss("kl_div_log", |i| losses::kl_div_log(&i["x"], &i["t"], Reduction::Sum));
}

fn models(golden: &mut Golden) {
    let config = CifarResNetConfig { width: 4, ..CifarResNetConfig::new(20) };
    golden.layer("cifar_resnet20", &config.build(&s()), Model::forward);
    let config = CifarResNetConfig { width: 2, ..config };
    golden.layer("cifar_resnet20_train", &config.build(&s()), Model::forward);
    let config = ResNetConfig { blocks: [1; 4], width: 2, classes: 5, ..ResNetConfig::resnet18() };
    golden.layer("resnet_basic", &config.build(&s()), Model::forward);
    let config = ResNetConfig { blocks: [1, 2, 1, 1], bottleneck: true, ..config };
    golden.layer("resnet_bottleneck", &config.build(&s()), Model::forward);
    let config = VisionTransformerConfig {
        size: 8,
        patch: 4,
        width: 8,
        depth: 2,
        heads: 2,
        classes: 5,
        ..VisionTransformerConfig::default()
    };
    golden.layer("vision_transformer", &config.build(&s()), Model::forward);
    let config =
        GptConfig { vocabulary: 11, context: 6, width: 8, depth: 2, heads: 2, dropout: 0.0 };
    golden.layer("gpt", &config.build(&s()), Model::forward);
    let config = LeNetConfig { size: 20, classes: 3, ..LeNetConfig::default() };
    golden.layer("lenet", &config.build(&s()), Model::forward);
}
