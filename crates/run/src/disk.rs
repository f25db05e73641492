//! The few things that a run does to the disk, behind a trait so that tests can fill it up.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

use crate::Error;

/// A file being written.
pub(crate) trait Sink: Write + Send {
    /// Waits until everything written is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

impl Sink for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// Where a run is written.
pub(crate) trait Disk: Send + Sync {
    /// A new or emptied file.
    fn create(&self, path: &Path) -> io::Result<Box<dyn Sink>>;
    /// A file to write on at its end.
    fn append(&self, path: &Path) -> io::Result<Box<dyn Sink>>;
}

/// The file system.
pub(crate) struct FileSystem;

impl Disk for FileSystem {
    fn create(&self, path: &Path) -> io::Result<Box<dyn Sink>> {
        Ok(Box::new(File::create(path)?))
    }

    fn append(&self, path: &Path) -> io::Result<Box<dyn Sink>> {
        Ok(Box::new(OpenOptions::new().create(true).append(true).open(path)?))
    }
}

/// Writes a whole file so that at any moment, whatever fails, `path` holds either its old content or all of the new: under a
/// temporary name first, synced, then renamed.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = Path::new(&temporary);
    let write = || -> io::Result<()> {
        let mut sink = disk.create(temporary)?;
        sink.write_all(bytes)?;
        sink.sync()?;
        drop(sink);
        fs::rename(temporary, path)?;
        sync_folder(path)
    };
    write().map_err(|source| {
        // Best effort: what failed is reported, a leftover temporary file harms nothing.
        let _ = fs::remove_file(temporary);
        Error::disk(path, "write", source)
    })
}

/// A rename is only lasting once its folder is on the disk.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        // A bare file name lies in the current folder.
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => return Ok(()),
    };
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
pub(crate) mod full {
    //! A disk with little room.

    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    /// Takes `room` bytes in all, then says that the disk is full.
    #[derive(Clone)]
    pub(crate) struct FullDisk {
        pub(crate) room: Arc<AtomicU64>,
    }

    impl FullDisk {
        pub(crate) fn with_room(bytes: u64) -> FullDisk {
            FullDisk { room: Arc::new(AtomicU64::new(bytes)) }
        }
    }

    struct Limited {
        file: Box<dyn Sink>,
        room: Arc<AtomicU64>,
    }

    impl Write for Limited {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let room = self.room.load(Ordering::SeqCst);
            if room == 0 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let count = bytes.len().min(room as usize);
            let written = self.file.write(&bytes[..count])?;
            self.room.fetch_sub(written as u64, Ordering::SeqCst);
            Ok(written)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.file.flush()
        }
    }

    impl Sink for Limited {
        fn sync(&mut self) -> io::Result<()> {
            self.file.sync()
        }
    }

    impl Disk for FullDisk {
        fn create(&self, path: &Path) -> io::Result<Box<dyn Sink>> {
            Ok(Box::new(Limited { file: FileSystem.create(path)?, room: self.room.clone() }))
        }

        fn append(&self, path: &Path) -> io::Result<Box<dyn Sink>> {
            Ok(Box::new(Limited { file: FileSystem.append(path)?, room: self.room.clone() }))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::full::FullDisk;
    use super::*;

    #[test]
    fn a_full_disk_leaves_the_old_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        replace(&FileSystem, &path, b"old").unwrap();
        let error =
            replace(&FullDisk::with_room(5), &path, b"new content").unwrap_err().to_string();
        assert!(error.contains("state: could not write: "), "{error}");
        assert!(error.contains("free some space, then `lisse resume`"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the temporary file is gone");
    }
}
