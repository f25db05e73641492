//! Reading weight files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use lisse_array::{Array, DType, Tree};
use serde::Deserialize;

use super::file::WeightFile;
use super::report::nearest;
use super::{LoadReport, Mismatch, Missing, WeightError};

/// `tree` with every leaf from the file `path`, converted to the leaf's own dtype and device.
///
/// `path` is a `.safetensors` file, the `.index.json` of a sharded one, or a folder that holds one of them under its usual name.
/// Everything must fit; see [`LoadOptions`] for anything else.
pub fn load_into<T: Tree>(
    path: impl AsRef<Path>,
    tree: &T,
) -> Result<(T, LoadReport), WeightError> {
    LoadOptions::new().load_into(path, tree)
}

/// All tensors of a file (or sharded file) by name.
pub fn read(path: impl AsRef<Path>) -> Result<BTreeMap<String, Array>, WeightError> {
    let mut source = Source::open(path.as_ref())?;
    let names: Vec<String> = source.holders.keys().cloned().collect();
    names.into_iter().map(|name| Ok((name.clone(), source.read(&name)?))).collect()
}

type Rename = Box<dyn Fn(&str) -> Option<String>>;

/// How a file is loaded.
pub struct LoadOptions {
    strict: bool,
    keep_dtype: bool,
    rename: Option<Rename>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl LoadOptions {
    /// Strict, into the model's dtypes, by the names as they are.
    pub fn new() -> Self {
        Self { strict: true, keep_dtype: false, rename: None }
    }

    /// Without strictness, leaves that are missing or mismatched keep their values, and names that the model does not have
    /// are passed over; the report tells.
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Takes the file's dtype for float leaves instead of the model's.
    pub fn keep_dtype(mut self) -> Self {
        self.keep_dtype = true;
        self
    }

    /// Maps each name in the file to a path of the model; none passes the tensor over.
    pub fn rename(mut self, rename: impl Fn(&str) -> Option<String> + 'static) -> Self {
        self.rename = Some(Box::new(rename));
        self
    }

    /// Removes a prefix from the file's names where it is present.
    pub fn strip_prefix(self, prefix: &str) -> Self {
        let prefix = prefix.to_string();
        self.rename(move |name| Some(name.strip_prefix(&prefix).unwrap_or(name).to_string()))
    }

    /// `tree` with its leaves from the file; see [`load_into`].
    pub fn load_into<T: Tree>(
        &self,
        path: impl AsRef<Path>,
        tree: &T,
    ) -> Result<(T, LoadReport), WeightError> {
        let mut source = Source::open(path.as_ref())?;
        let names = self.names(&source);
        let mut used = BTreeSet::new();
        let mut leaves = Vec::new();
        let mut report = LoadReport::default();
        for (path, leaf) in tree.named_leaves() {
            let Some(name) = names.get(&path) else {
                report.missing.push(Missing { path, shape: leaf.shape().to_vec(), nearest: None });
                leaves.push(leaf.clone());
                continue;
            };
            used.insert(name.clone());
            let found = source.describe(name)?;
            let expected = (leaf.dtype(), leaf.shape().to_vec());
            if fits(&expected, &found) {
                leaves.push(self.convert(source.read(name)?, leaf));
            } else {
                report.mismatched.push(Mismatch { path, expected, found });
                leaves.push(leaf.clone());
            }
        }
        report.unexpected = names.values().filter(|name| !used.contains(*name)).cloned().collect();
        add_hints(&mut report);
        if self.strict && !report.is_complete() {
            return Err(WeightError::DoesNotFit { path: source.path, report });
        }
        Ok((tree.with_leaves(leaves), report))
    }

    /// From path in the model to name in the file.
    fn names(&self, source: &Source) -> BTreeMap<String, String> {
        let rename = |name: &String| match &self.rename {
            Some(rename) => rename(name),
            None => Some(name.clone()),
        };
        source.holders.keys().filter_map(|name| Some((rename(name)?, name.clone()))).collect()
    }

    fn convert(&self, array: Array, leaf: &Array) -> Array {
        let array = if self.keep_dtype && leaf.dtype().is_float() {
            array
        } else {
            array.cast(leaf.dtype())
        };
        array.to_device(leaf.device())
    }
}

/// Shapes must agree; dtypes may differ within floats and within integers.
fn fits(expected: &(DType, Vec<usize>), found: &(DType, Vec<usize>)) -> bool {
    expected.1 == found.1 && expected.0.is_float() == found.0.is_float()
}

fn add_hints(report: &mut LoadReport) {
    // Enough for any message; comparing all names of a large model would take minutes.
    const HINTS: usize = 20;
    for missing in report.missing.iter_mut().take(HINTS) {
        missing.nearest = nearest(&missing.path, &report.unexpected);
    }
    if let Some(missing) = report.missing.first() {
        let suffix = format!(".{}", missing.path);
        let longer = report.unexpected.iter().find(|name| name.ends_with(&suffix));
        report.prefix = longer.map(|name| name[..=name.len() - suffix.len()].to_string());
    }
}

/// One file or several shards.
struct Source {
    path: PathBuf,
    files: Vec<WeightFile>,
    /// For each name, which file holds it.
    holders: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Source {
    fn open(path: &Path) -> Result<Source, WeightError> {
        if path.is_dir() {
            let whole = path.join("model.safetensors");
            let index = path.join("model.safetensors.index.json");
            return match (whole.exists(), index.exists()) {
                (_, true) => Source::open_shards(&index),
                (true, false) => Source::open_whole(&whole),
                (false, false) => Err(WeightError::EmptyFolder { path: path.to_path_buf() }),
            };
        }
        if path.extension().is_some_and(|extension| extension == "json") {
            return Source::open_shards(path);
        }
        Source::open_whole(path)
    }

    fn open_whole(path: &Path) -> Result<Source, WeightError> {
        let file = WeightFile::open(path)?;
        let holders = file.names().into_iter().map(|name| (name, 0)).collect();
        Ok(Source { path: path.to_path_buf(), files: vec![file], holders })
    }

    fn open_shards(path: &Path) -> Result<Source, WeightError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| WeightError::io(path, "opening", source))?;
        let index: Index = serde_json::from_str(&text).map_err(|error| {
            WeightError::malformed(path, format!("this is not an index of weight files: {error}"))
        })?;
        let mut shards = BTreeMap::new();
        let mut files = Vec::new();
        let mut holders = BTreeMap::new();
        for (name, shard) in index.weight_map {
            let number = if let Some(&number) = shards.get(&shard) {
                number
            } else {
                files.push(WeightFile::open(&beside(path, &shard)?)?);
                shards.insert(shard.clone(), files.len() - 1);
                files.len() - 1
            };
            if files[number].info(&name).is_none() {
                let reason = format!("`{name}` should be in {shard}, but is not there");
                return Err(WeightError::malformed(path, reason));
            }
            holders.insert(name, number);
        }
        Ok(Source { path: path.to_path_buf(), files, holders })
    }

    fn describe(&self, name: &str) -> Result<(DType, Vec<usize>), WeightError> {
        let file = &self.files[self.holders[name]];
        let info = file.info(name).expect("holders list what the files have");
        Ok((file.dtype(name, info)?, info.shape.clone()))
    }

    fn read(&mut self, name: &str) -> Result<Array, WeightError> {
        let file = &mut self.files[self.holders[name]];
        let info = file.info(name).expect("holders list what the files have").clone();
        file.read(name, &info)
    }
}

/// The file `name` in the folder of `index`. An index from elsewhere must not reach out of its folder.
fn beside(index: &Path, name: &str) -> Result<PathBuf, WeightError> {
    if Path::new(name).file_name().is_none_or(|plain| plain != name) {
        let reason = format!("the shard `{name}` is not a plain file name");
        return Err(WeightError::malformed(index, reason));
    }
    Ok(index.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::super::save;
    use super::*;
    use crate::models::{Mlp, MlpConfig};
    use lisse_array::{Stream, bf16};

    fn model(sizes: &[usize], seed: u64) -> Mlp {
        MlpConfig::new(sizes).build(&Stream::new(seed))
    }

    fn message<T>(result: Result<T, WeightError>) -> String {
        result.err().expect("an error").to_string()
    }

    #[test]
    fn a_missing_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nowhere.safetensors");
        let text = message(load_into(&path, &model(&[2, 3], 0)));
        assert_eq!(text, format!("{}: no such weight file", path.display()));
        let text = message(load_into(folder.path(), &model(&[2, 3], 0)));
        assert!(text.contains("neither model.safetensors nor"), "{text}");
    }

    #[test]
    fn a_truncated_file_says_what_is_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        save(&path, &model(&[2, 3], 0)).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        for cut in [bytes.len() - 5, 40, 3] {
            std::fs::write(&path, &bytes[..cut]).unwrap();
            let text = message(load_into(&path, &model(&[2, 3], 0)));
            assert!(
                text.contains("truncated") && text.ends_with(&format!("it has {cut}")),
                "{text}"
            );
        }
        std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
        let text = message(load_into(&path, &model(&[2, 3], 0)));
        assert!(text.contains(&format!("promises {} bytes", bytes.len())), "{text}");
    }

    #[test]
    fn other_files_are_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        for (bytes, expected) in [
            (&b"PK\x03\x04 and so on and on"[..], "zip archive as torch.save writes it"),
            (b"# just some text, longer than eight", "not a safetensors file"),
            (b"\x02\0\0\0\0\0\0\0{]", "the safetensors header is damaged"),
            (b"\x02\0\0\0\0\0\0\0{}xyz", "3 bytes follow the last tensor"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let text = message(read(&path));
            assert!(text.contains(expected), "{text}");
        }
    }

    #[test]
    fn a_wrong_shape_names_the_leaf_and_both_shapes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        save(&path, &model(&[2, 4], 0)).unwrap();
        let text = message(load_into(&path, &model(&[2, 3], 0)));
        let line =
            "mismatched: `layers.0.weight` is f32 [3, 2] in the model, f32 [4, 2] in the file";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn names_that_differ_are_listed_with_hints() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let tensors = |names: [&str; 2]| {
            let shapes: [&[usize]; 2] = [&[3, 2], &[3]];
            let named = names.into_iter().zip(shapes);
            named.map(|(n, s)| (n.to_string(), Array::ones(s, DType::F32))).collect()
        };
        let file: BTreeMap<String, Array> = tensors(["layer.0.weight", "layers.0.bias"]);
        save(&path, &file).unwrap();
        let text = message(load_into(&path, &model(&[2, 3], 0)));
        let line = "missing from the file: `layers.0.weight` [3, 2] (nearest name there: `layer.0.weight`)";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("not in the model: `layer.0.weight`"), "{text}");

        let own = model(&[2, 3], 5);
        let (loaded, report) = LoadOptions::new().strict(false).load_into(&path, &own).unwrap();
        assert_eq!(loaded.layers[0].weight.to_vec::<f32>(), own.layers[0].weight.to_vec::<f32>());
        assert_eq!(loaded.layers[0].bias.as_ref().unwrap().to_vec::<f32>(), [1.0; 3]);
        assert_eq!((report.missing.len(), report.unexpected.len()), (1, 1));

        let file: BTreeMap<String, Array> =
            tensors(["model.layers.0.weight", "model.layers.0.bias"]);
        save(&path, &file).unwrap();
        let text = message(load_into(&path, &own));
        assert!(text.contains("start with `model.`"), "{text}");
        let options = LoadOptions::new().strip_prefix("model.");
        assert!(options.load_into(&path, &own).unwrap().1.is_complete());
    }

    #[test]
    fn floats_are_converted_and_integers_are_not_taken_for_floats() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let tree: BTreeMap<String, Array> =
            [("x".to_string(), Array::from_slice(&[1.5f32, -2.0], &[2]))].into();
        save(&path, &tree.map(|leaf| leaf.cast(DType::BF16))).unwrap();
        let (loaded, _) = load_into(&path, &tree).unwrap();
        assert_eq!(loaded["x"].to_vec::<f32>(), [1.5, -2.0]);
        let (kept, _) = LoadOptions::new().keep_dtype().load_into(&path, &tree).unwrap();
        assert_eq!(kept["x"].to_vec::<bf16>(), [bf16::from_f32(1.5), bf16::from_f32(-2.0)]);
        save(&path, &tree.map(|leaf| leaf.cast(DType::I64))).unwrap();
        let text = message(load_into(&path, &tree));
        assert!(text.contains("`x` is f32 [2] in the model, i64 [2] in the file"), "{text}");
    }

    #[test]
    fn an_index_must_be_true_and_stay_in_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors.index.json");
        for (text, expected) in [
            ("[]", "this is not an index of weight files"),
            (r#"{"weight_map": {"x": "../secret"}}"#, "`../secret` is not a plain file name"),
            (r#"{"weight_map": {"x": "a.safetensors"}}"#, "a.safetensors: no such weight file"),
        ] {
            std::fs::write(&path, text).unwrap();
            let found = message(read(folder.path()));
            assert!(found.contains(expected), "{found}");
        }
        let shard: BTreeMap<String, Array> = [("y".to_string(), Array::scalar(1.0f32))].into();
        save(folder.path().join("a.safetensors"), &shard).unwrap();
        let found = message(read(folder.path()));
        assert!(found.contains("`x` should be in a.safetensors, but is not there"), "{found}");
    }
}
