//! Writing weight files.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufWriter, Write};
use std::path::Path;

use lisse_array::{Array, DType, Tree};
use safetensors::tensor::{Metadata, TensorInfo};
use serde::Serialize;
use tempfile::NamedTempFile;

use super::WeightError;
use super::file::format_dtype;

/// Writes every leaf of `tree` to the file `path` under its path as a name. The file is written beside its place, flushed to disk
/// and then renamed, so that a failure leaves the previous file as it was.
pub fn save<T: Tree>(path: impl AsRef<Path>, tree: &T) -> Result<(), WeightError> {
    SaveOptions::new().save(path, tree)
}

/// How a tree is saved.
#[derive(Clone, Debug, Default)]
pub struct SaveOptions {
    dtype: Option<DType>,
    shard_bytes: Option<usize>,
    metadata: BTreeMap<String, String>,
}

impl SaveOptions {
    /// In one file, in the tree's own dtypes.
    pub fn new() -> Self {
        Self::default()
    }

    /// Converts float leaves to this dtype. Panics unless it is a float type.
    pub fn dtype(mut self, dtype: DType) -> Self {
        assert!(dtype.is_float(), "weights are saved as floats, not as {dtype}");
        self.dtype = Some(dtype);
        self
    }

    /// Splits a tree of more bytes over files of at most this many (a larger leaf gets a file of its own): for
    /// `model.safetensors` these are `model-00001-of-00003.safetensors`, ... and the index `model.safetensors.index.json`.
    pub fn shard_bytes(mut self, bytes: usize) -> Self {
        self.shard_bytes = Some(bytes);
        self
    }

    /// Text kept in the file's header.
    pub fn metadata(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.to_string(), value.to_string());
        self
    }

    /// Writes `tree`; see [`save`].
    pub fn save<T: Tree>(&self, path: impl AsRef<Path>, tree: &T) -> Result<(), WeightError> {
        let path = path.as_ref();
        let leaves = self.leaves(tree)?;
        let total: usize = leaves.iter().map(|(_, leaf)| bytes(leaf)).sum();
        match self.shard_bytes {
            Some(limit) if total > limit => self.save_shards(path, leaves, limit, total),
            _ => self.write(path, leaves),
        }
    }

    /// The leaves as they are to be saved, by name.
    fn leaves<T: Tree>(&self, tree: &T) -> Result<Vec<(String, Array)>, WeightError> {
        let mut named = BTreeMap::new();
        for (name, leaf) in tree.named_leaves() {
            let leaf = match self.dtype {
                Some(dtype) if leaf.dtype().is_float() => leaf.stop_gradient().cast(dtype),
                _ => leaf.stop_gradient(),
            };
            if named.insert(name.clone(), leaf).is_some() {
                return Err(WeightError::Duplicate { name });
            }
        }
        Ok(named.into_iter().collect())
    }

    fn save_shards(
        &self,
        path: &Path,
        leaves: Vec<(String, Array)>,
        limit: usize,
        total_size: usize,
    ) -> Result<(), WeightError> {
        let mut shards: Vec<Vec<(String, Array)>> = Vec::new();
        let mut filled = limit;
        for (name, leaf) in leaves {
            let size = bytes(&leaf);
            if filled + size > limit || shards.is_empty() {
                shards.push(Vec::new());
                filled = 0;
            }
            filled += size;
            shards.last_mut().expect("a shard was begun").push((name, leaf));
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let count = shards.len();
        let mut weight_map = BTreeMap::new();
        for (i, shard) in shards.into_iter().enumerate() {
            let file = format!("{stem}-{:05}-of-{count:05}.safetensors", i + 1);
            weight_map.extend(shard.iter().map(|(name, _)| (name.clone(), file.clone())));
            self.write(&path.with_file_name(file), shard)?;
        }
        let index = Index { metadata: IndexMetadata { total_size }, weight_map };
        let index_path = path.with_file_name(format!("{stem}.safetensors.index.json"));
        let text = serde_json::to_string_pretty(&index)
            .map_err(|error| WeightError::malformed(&index_path, error.to_string()))?;
        // The index comes last: until then the shards are not found through it.
        replace(&index_path, |out| out.write_all(text.as_bytes()))
    }

    fn write(&self, path: &Path, mut leaves: Vec<(String, Array)>) -> Result<(), WeightError> {
        // Wide elements first keeps every tensor aligned to its own size.
        leaves.sort_by_key(|(_, leaf)| std::cmp::Reverse(leaf.dtype().size()));
        let mut offset = 0;
        let mut infos = Vec::with_capacity(leaves.len());
        for (name, leaf) in &leaves {
            let end = offset + bytes(leaf);
            let (dtype, shape) = (format_dtype(leaf.dtype()), leaf.shape().to_vec());
            infos.push((name.clone(), TensorInfo { dtype, shape, data_offsets: (offset, end) }));
            offset = end;
        }
        let mut words: HashMap<String, String> = self.metadata.clone().into_iter().collect();
        words.entry("format".to_string()).or_insert_with(|| "pt".to_string());
        let header = Metadata::new(Some(words), infos)
            .map_err(|error| error.to_string())
            .and_then(|metadata| serde_json::to_vec(&metadata).map_err(|error| error.to_string()))
            .map_err(|reason| WeightError::malformed(path, reason))?;
        let padding = header.len().next_multiple_of(8) - header.len();
        replace(path, |out| {
            out.write_all(&((header.len() + padding) as u64).to_le_bytes())?;
            out.write_all(&header)?;
            out.write_all(&b"        "[..padding])?;
            leaves.iter().try_for_each(|(_, leaf)| out.write_all(&leaf.to_bytes()))
        })
    }
}

#[derive(Serialize)]
struct Index {
    metadata: IndexMetadata,
    weight_map: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct IndexMetadata {
    total_size: usize,
}

fn bytes(leaf: &Array) -> usize {
    leaf.len() * leaf.dtype().size()
}

/// Writes a new file beside `path` and puts it in its place in one step.
fn replace(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>,
) -> Result<(), WeightError> {
    let io = |action| move |source| WeightError::io(path, action, source);
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let file = temporary(folder).map_err(io("creating a file beside it"))?;
    let mut out = BufWriter::new(file.as_file());
    write(&mut out).and_then(|()| out.flush()).map_err(io("writing"))?;
    drop(out);
    file.as_file().sync_all().map_err(io("writing"))?;
    file.persist(path).map_err(|error| WeightError::io(path, "replacing", error.error))?;
    sync_folder(folder).map_err(io("writing"))
}

/// A temporary file with the permissions of a usual one.
fn temporary(folder: &Path) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".weights-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

/// Makes the rename itself durable.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    if cfg!(unix) { std::fs::File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::super::{load_into, read};
    use super::*;
    use lisse_array::{Stream, bf16, f16};

    fn tree() -> BTreeMap<String, Array> {
        let entry = |name: &str, array: Array| (name.to_string(), array);
        [
            entry("a.weight", Stream::new(0).normal(&[3, 4], DType::F64)),
            entry("b.weight", Stream::new(1).normal(&[5], DType::F32)),
            entry("half", Array::from_slice(&[f16::from_f32(0.5)], &[1])),
            entry("brain", Array::from_slice(&[bf16::from_f32(-3.0); 2], &[2, 1])),
            entry("count", Array::scalar(7i64)),
            entry("small", Array::from_slice(&[-1i32, 2], &[2])),
            entry("bytes", Array::from_slice(&[1u8, 255, 3], &[3])),
            entry("mask", Array::from_slice(&[true, false, true], &[3])),
            entry("empty", Array::zeros(&[0, 4], DType::F32)),
        ]
        .into()
    }

    fn same(a: &BTreeMap<String, Array>, b: &BTreeMap<String, Array>) {
        assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
        for (name, x) in a {
            let y = &b[name];
            assert_eq!((x.dtype(), x.shape()), (y.dtype(), y.shape()), "{name}");
            assert_eq!(x.cast(DType::F64).to_vec::<f64>(), y.cast(DType::F64).to_vec::<f64>());
        }
    }

    #[test]
    fn every_dtype_survives() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        SaveOptions::new().metadata("made_by", "a test").save(&path, &tree()).unwrap();
        same(&read(&path).unwrap(), &tree());
        let bytes = std::fs::read(&path).unwrap();
        let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        assert_eq!(reference.len(), tree().len());
        assert_eq!(reference.tensor("a.weight").unwrap().shape(), [3, 4]);
    }

    #[test]
    fn shards_are_found_through_the_index() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        SaveOptions::new().shard_bytes(64).save(&path, &tree()).unwrap();
        assert!(!path.exists() && folder.path().join("model.safetensors.index.json").exists());
        assert!(folder.path().join("model-00001-of-00002.safetensors").exists());
        same(&read(folder.path()).unwrap(), &tree());
        let (loaded, report) = load_into(folder.path(), &tree()).unwrap();
        assert!(report.is_complete());
        same(&loaded, &tree());
    }

    #[test]
    fn floats_are_converted_on_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        SaveOptions::new().dtype(DType::F16).save(&path, &tree()).unwrap();
        let back = read(&path).unwrap();
        assert_eq!((back["a.weight"].dtype(), back["count"].dtype()), (DType::F16, DType::I64));
    }

    #[test]
    fn a_failure_leaves_the_previous_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        save(&path, &tree()).unwrap();
        let full = replace(&path, |out| {
            out.write_all(b"half of it")?;
            Err(std::io::Error::from(std::io::ErrorKind::StorageFull))
        });
        let text = full.unwrap_err().to_string();
        assert!(text.contains("model.safetensors: writing failed"), "{text}");
        same(&read(&path).unwrap(), &tree());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let lost = folder.path().join("no such folder").join("x.safetensors");
        let text = save(&lost, &tree()).unwrap_err().to_string();
        assert!(text.contains("x.safetensors: creating a file beside it failed"), "{text}");
    }

    #[test]
    fn two_leaves_of_one_name_are_refused() {
        let twin = |name: &str| -> BTreeMap<String, Array> {
            [(name.to_string(), Array::scalar(1.0f32))].into()
        };
        let mut names: BTreeMap<String, BTreeMap<String, Array>> = BTreeMap::new();
        names.insert("a".to_string(), twin("b.c"));
        names.insert("a.b".to_string(), twin("c"));
        let folder = tempfile::tempdir().unwrap();
        let error = save(folder.path().join("x.safetensors"), &names).unwrap_err().to_string();
        assert_eq!(error, "cannot save: two leaves are named `a.b.c`");
    }
}
