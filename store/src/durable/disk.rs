//! The files of a store. A trait, so that tests can lose power at every step.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

/// A folder of files.
pub(crate) trait Disk: Send + 'static {
    /// The names of the files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Reads a file from its beginning.
    fn read(&self, name: &str) -> io::Result<Box<dyn Read>>;
    /// Makes an empty file to be written, in place of one that may be there.
    fn create(&self, name: &str) -> io::Result<Box<dyn Output>>;
    /// Cuts a file off behind `length` bytes, and writes on from there.
    fn append(&self, name: &str, length: u64) -> io::Result<Box<dyn Output>>;
    /// Gives a file another name, in place of a file that may have it.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Returns when the names of all files will survive a loss of power.
    fn sync(&self) -> io::Result<()>;
}

/// A file that is being written.
pub(crate) trait Output: Send {
    /// Adds bytes at the end.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Returns when all that was written will survive a loss of power.
    fn sync(&mut self) -> io::Result<()>;
}

/// A folder on a disk. Only the owner of the process may read what is in it: it holds secrets.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Held as long as the folder is in use.
    _lock: File,
}

const LOCK: &str = "lock";

impl Folder {
    /// Makes the folder if it is not there, and takes it: no second process can.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        make_folder(path)?;
        let lock = private(OpenOptions::new().write(true).create(true).truncate(false)).open(path.join(LOCK))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => io::Error::new(io::ErrorKind::ResourceBusy, "another process uses it"),
            fs::TryLockError::Error(error) => error,
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }
}

#[cfg(unix)]
fn make_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &OpenOptions {
    options
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for file in fs::read_dir(&self.path)? {
            let name = file?.file_name().to_string_lossy().into_owned();
            if name != LOCK {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Box<dyn Read>> {
        Ok(Box::new(BufReader::with_capacity(1 << 20, File::open(self.path.join(name))?)))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn Output>> {
        let path = self.path.join(name);
        Ok(Box::new(private(OpenOptions::new().write(true).create(true).truncate(true)).open(path)?))
    }

    fn append(&self, name: &str, length: u64) -> io::Result<Box<dyn Output>> {
        let file = OpenOptions::new().append(true).open(self.path.join(name))?;
        file.set_len(length)?;
        file.sync_all()?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

impl Output for File {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}
