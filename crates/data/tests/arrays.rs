//! NumPy, IDX and JSON Lines files.

use std::fs;
use std::path::{Path, PathBuf};

use lisse_array::DType;
use lisse_data::{
    DataError, mnist, read_idx, read_jsonl, read_jsonl_text, read_npy, read_npz, take_array,
};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn message<T>(result: Result<T, DataError>) -> String {
    match result {
        Ok(_) => panic!("expected an error"),
        Err(error) => error.to_string(),
    }
}

/// A file of the given bytes and the message of reading it, without the folder.
fn message_of<T>(bytes: &[u8], name: &str, read: impl Fn(&Path) -> Result<T, DataError>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    fs::write(&path, bytes).unwrap();
    let text = message(read(&path));
    text.replace(&path.display().to_string(), name)
}

#[test]
fn npz_of_every_dtype_reads_as_numpy_wrote_it() {
    let mut arrays = read_npz(golden("arrays.npz")).unwrap();
    let grid = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    let mut check = |name: &str, dtype: DType, value: &dyn Fn(f64) -> f64| {
        let array = take_array(&mut arrays, name, "arrays.npz").unwrap();
        assert_eq!((array.dtype(), array.shape()), (dtype, &[2, 3][..]), "{name}");
        assert_eq!(array.to_f64_vec(), grid.map(value), "{name}");
    };
    check("f64", DType::F64, &|v| v / 4.0);
    check("f32_fortran", DType::F32, &|v| v);
    check("f16", DType::F16, &|v| v / 2.0);
    check("i64", DType::I64, &|v| v - 3.0);
    check("i32_big_endian", DType::I32, &|v| v);
    check("i8", DType::I32, &|v| v - 3.0);
    check("u8", DType::U8, &|v| v);
    check("u64", DType::I64, &|v| v);
    check("bool", DType::Bool, &|v| f64::from(v % 2.0 == 0.0));
    let scalar = take_array(&mut arrays, "scalar", "arrays.npz").unwrap();
    assert_eq!((scalar.rank(), scalar.item()), (0, 2.5));
    let empty = take_array(&mut arrays, "empty", "arrays.npz").unwrap();
    assert_eq!(empty.shape(), [0, 3]);
    let cube = take_array(&mut arrays, "fortran_3d", "arrays.npz").unwrap();
    assert_eq!(cube.to_vec::<f64>(), (0..24).map(f64::from).collect::<Vec<_>>());

    let compressed = read_npz(golden("compressed.npz")).unwrap();
    assert_eq!(compressed["targets"].to_vec::<i64>(), (0..40).collect::<Vec<_>>());
}

#[test]
fn npz_faults_are_named() {
    let mut arrays = read_npz(golden("compressed.npz")).unwrap();
    assert_eq!(
        message(take_array(&mut arrays, "input", "c.npz")),
        "c.npz: no array `input`; did you mean `inputs`?"
    );
    let bytes = fs::read(golden("compressed.npz")).unwrap();
    let text = message_of(&bytes[..bytes.len() / 2], "half.npz", |path| read_npz(path));
    assert!(text.starts_with("half.npz: not a whole .npz file, cut short or damaged ("), "{text}");
    assert_eq!(
        message_of(b"", "none.npz", |path| read_npz(path)),
        "none.npz: the file is empty; expected a zip archive of .npy files"
    );
    let mut damaged = bytes;
    for byte in &mut damaged[60..90] {
        *byte ^= 0x55;
    }
    let text = message_of(&damaged, "bad.npz", |path| read_npz(path));
    assert!(text.starts_with("bad.npz, array `inputs`: damaged ("), "{text}");
}

#[test]
fn npy_faults_are_named() {
    let bytes = fs::read(golden("grid.npy")).unwrap();
    assert_eq!(
        message_of(&bytes[..bytes.len() - 8], "cut.npy", |path| read_npy(path)),
        "cut.npy: shape [2, 3] of dtype '<f8' needs 48 bytes of data, there are 40; the file was cut short or damaged"
    );
    let text = message_of(b"PK not numpy", "other.npy", |path| read_npy(path));
    assert!(text.starts_with("other.npy: not a NumPy array, or its header is damaged ("), "{text}");
    assert_eq!(
        message_of(b"", "none.npy", |path| read_npy(path)),
        "none.npy: the file is empty; expected a NumPy array"
    );
    let text = fs::read(golden("text.npy")).unwrap();
    assert_eq!(
        message_of(&text, "text.npy", |path| read_npy(path)),
        "text.npy: dtype '<U2' is not a real number or truth value; save it as such an array"
    );
    let large = fs::read(golden("too_large.npy")).unwrap();
    assert_eq!(
        message_of(&large, "large.npy", |path| read_npy(path)),
        "large.npy: 9223372036854775808 is above the largest i64"
    );
}

#[test]
fn json_lines_read_and_faults_have_line_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("t.jsonl");
    fs::write(&path, "{\"text\": \"one\", \"id\": 1}\n\n{\"text\": \"zwei\\n\"}\r\n").unwrap();
    assert_eq!(read_jsonl_text(&path, "text").unwrap(), ["one", "zwei\n"]);
    fs::write(&path, "[1, 2]\n[3]\n").unwrap();
    assert_eq!(read_jsonl::<Vec<i64>>(&path).unwrap(), [vec![1, 2], vec![3]]);

    let text = |path: &Path| read_jsonl_text(path, "text");
    assert_eq!(
        message_of(b"{\"text\": \"a\"}\n{\"text\": oops}\n", "t.jsonl", text),
        "t.jsonl: line 2, column 10: expected value"
    );
    assert_eq!(
        message_of(b"{\"text\": \"a\"}\n{\"txt\": \"b\"}\n", "t.jsonl", text),
        "t.jsonl: line 2: no field `text`; did you mean `txt`?"
    );
    assert_eq!(
        message_of(b"{\"text\": 3}\n", "t.jsonl", text),
        "t.jsonl: line 1, column 1: field `text` should be text, found a number"
    );
    assert_eq!(
        message_of(b"\n", "t.jsonl", text),
        "t.jsonl: the file is empty; expected one JSON value per line"
    );
}

fn idx(shape: &[u32], data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, shape.len() as u8];
    bytes.extend(shape.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(data);
    bytes
}

#[test]
fn mnist_reads_plain_and_packed_files() {
    use std::io::Write;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    let images = idx(&[2, 2, 3], &[0, 51, 102, 153, 204, 255, 1, 2, 3, 4, 5, 6]);
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(&images).unwrap();
    write("train-images-idx3-ubyte.gz", &packer.finish().unwrap());
    write("train-labels-idx1-ubyte", &idx(&[2], &[7, 0]));
    write("t10k-images.idx3-ubyte", &images);
    assert_eq!(
        message(mnist(folder.path())),
        format!(
            "{}: no file `t10k-labels-idx1-ubyte` or `t10k-labels-idx1-ubyte.gz` in this folder; put the four MNIST files there",
            folder.path().display()
        )
    );
    write("t10k-labels-idx1-ubyte", &idx(&[2], &[9, 9]));
    let sets = mnist(folder.path()).unwrap();
    assert_eq!(sets.train.inputs.shape(), [2, 1, 2, 3]);
    assert_eq!(sets.train.inputs.to_vec::<f32>()[..6], [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]);
    assert_eq!(sets.train.labels().unwrap(), [7, 0]);
    assert_eq!((sets.test.len(), sets.test.classes()), (2, Some(10)));

    let labels = folder.path().join("t10k-labels-idx1-ubyte");
    write("t10k-labels-idx1-ubyte", &idx(&[3], &[9, 9, 1]));
    assert_eq!(
        message(mnist(folder.path())),
        format!("{}: shape [3] where [2], one per image was expected", labels.display())
    );
    write("t10k-labels-idx1-ubyte", &idx(&[2], &[9, 10]));
    assert_eq!(
        message(mnist(folder.path())),
        format!("{}: label 10 of image 2 is not a digit 0 to 9", labels.display())
    );
}

#[test]
fn idx_faults_are_named() {
    let read = |path: &Path| read_idx(path);
    assert_eq!(
        message_of(&idx(&[2, 2], &[1, 2, 3]), "x", read),
        "x: shape [2, 2] needs 4 bytes of data, the file has 3; it was cut short or damaged"
    );
    assert_eq!(message_of(&[0, 0], "x", read), "x: cut short within the header");
    assert_eq!(message_of(&[0, 0, 8, 2, 0, 0], "x", read), "x: cut short within the header");
    assert_eq!(
        message_of(b"PK\x03\x04", "x", read),
        "x: not an IDX file: it starts with bytes 0x50 0x4b, IDX with two zeros"
    );
    assert_eq!(
        message_of(&[0, 0, 13, 0], "x", read),
        "x: element type 0x0d; only unsigned bytes (0x08) are read"
    );
    assert_eq!(message_of(b"", "x", read), "x: the file is empty; expected an IDX header");
}
