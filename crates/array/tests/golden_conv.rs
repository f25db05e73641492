//! Convolutions, pooling, interpolation and grid sampling against values made by `tests/golden/make_conv.py`.

use lisse_array::ops::{Conv, GridPadding, Interpolation, Pool};
use lisse_array::{Array, DType, vjp};
use serde_json::Value;

/// The numbers from which the golden values were made.
fn sample(shape: &[usize], seed: usize) -> Array {
    let count: usize = shape.iter().product();
    let value = |i: usize| ((i * 7919 + seed * 104729) % 1009) as f64 / 504.5 - 1.0;
    Array::from_vec::<f64>((0..count).map(value).collect(), shape)
}

fn sizes(value: &Value) -> Vec<usize> {
    value.as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as usize).collect()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
}

fn run(operation: &str, options: &Value, inputs: &[Array]) -> Array {
    let x = &inputs[0];
    let number = |name: &str| options[name].as_u64().unwrap() as usize;
    let flag = |name: &str| options[name].as_bool().unwrap();
    let axes = x.rank() - 2;
    let conv = || {
        Conv::new(axes)
            .stride(number("stride"))
            .padding(number("padding"))
            .dilation(number("dilation"))
            .groups(number("groups"))
    };
    let pool = || {
        Pool::new(&vec![number("kernel"); axes])
            .stride(number("stride"))
            .padding(number("padding"))
            .dilation(number("dilation"))
            .ceil(flag("ceil"))
    };
    match operation {
        "conv" => x.conv(&inputs[1], &conv()),
        "conv_transpose" => {
            x.conv_transpose(&inputs[1], &conv(), &vec![number("output_padding"); axes])
        }
        "max_pool" => x.max_pool(&pool()),
        "avg_pool" => x.avg_pool(&pool(), flag("count_padding")),
        "adaptive_max_pool" => x.adaptive_max_pool(&vec![number("size"); axes]),
        "adaptive_avg_pool" => x.adaptive_avg_pool(&vec![number("size"); axes]),
        "interpolate" => {
            let method: Interpolation = serde_json::from_value(options["method"].clone()).unwrap();
            x.interpolate(&sizes(&options["size"]), method, flag("align"))
        }
        "grid_sample" => {
            let padding: GridPadding = serde_json::from_value(options["padding"].clone()).unwrap();
            let grid = &inputs[1] * 2.0;
            if options["method"] == "nearest" {
                x.grid_sample_nearest(&grid, padding, flag("align"))
            } else {
                x.grid_sample(&grid, padding, flag("align"))
            }
        }
        other => panic!("unknown operation {other}"),
    }
}

fn close(what: &str, case: &Value, found: &Array, expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what} of {} {}", case["operation"], case["options"]);
    for (i, (a, b)) in found.to_f64_vec().into_iter().zip(expected).enumerate() {
        assert!(
            (a - b).abs() <= tolerance * b.abs().max(1.0),
            "{what} of {} {} {}: element {i} is {a}, not {b}",
            case["operation"],
            case["options"],
            case["inputs"]
        );
    }
}

fn compare(dtype: DType, tolerance: f64) {
    let cases: Vec<Value> = serde_json::from_str(include_str!("golden/conv.json")).unwrap();
    for case in &cases {
        // In f32 a point may round to the other side of a pixel's edge.
        if dtype == DType::F32
            && case["options"]["method"] == "nearest"
            && case["operation"] == "grid_sample"
        {
            continue;
        }
        let shapes = case["inputs"].as_array().unwrap();
        let inputs: Vec<Array> =
            shapes.iter().enumerate().map(|(i, s)| sample(&sizes(s), i + 1).cast(dtype)).collect();
        let operation = case["operation"].as_str().unwrap();
        let (value, pullback) = vjp(|x: &Vec<Array>| run(operation, &case["options"], x), &inputs);
        assert_eq!(value.shape(), sizes(&case["shape"]), "{operation} {}", case["options"]);
        close("value", case, &value, &numbers(&case["value"]), tolerance);
        let gradients = pullback(&sample(value.shape(), 3).cast(dtype));
        for (gradient, expected) in gradients.iter().zip(case["gradients"].as_array().unwrap()) {
            close("gradient", case, gradient, &numbers(expected), tolerance);
        }
    }
    assert!(cases.len() > 100, "the golden file holds {} cases only", cases.len());
}

#[test]
fn values_and_gradients_in_f64() {
    compare(DType::F64, 1e-10);
}

#[test]
fn values_and_gradients_in_f32() {
    compare(DType::F32, 1e-5);
}
