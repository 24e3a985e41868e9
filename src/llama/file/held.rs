//! Finds the files of a model again after they were checked.
//!
//! The daemon reads the header of a model, and a runner loads the weights later, perhaps again
//! after days. In between the file may have been replaced. The daemon keeps its files open, so that
//! a runner finds the checked file even if another one has taken its name.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::llama::error::LoadError;

use super::describe::{ModelDescription, ModelSource};
use super::load_method::LoadMethod;
use super::stamp::FileStamp;

/// The open files of a model. They are not read.
#[derive(Debug, Default)]
pub struct HeldFiles(Vec<File>);

impl HeldFiles {
    /// Opens the files of a model.
    ///
    /// # Errors
    /// [`LoadError::Unusable`], if a file has changed since it was described.
    pub fn open(description: &ModelDescription) -> Result<Self, LoadError> {
        let open = |(path, stamp): (&PathBuf, &FileStamp)| {
            let file = File::open(path).ok();
            let is_same = |file: &File| {
                file.metadata().is_ok_and(|metadata| FileStamp::of(&metadata) == *stamp)
            };
            file.filter(is_same).ok_or_else(|| changed(path))
        };
        let files = description.files.iter().zip(&description.stamps).map(open);
        Ok(Self(files.collect::<Result<_, _>>()?))
    }

    /// Paths under which another process of the same user finds the files while this process has
    /// them open. Only Linux has such paths.
    pub fn paths(&self) -> Vec<PathBuf> {
        if !cfg!(target_os = "linux") {
            return Vec::new();
        }
        let process = std::process::id();
        let path = |file: &File| format!("/proc/{process}/fd/{}", file.as_raw_fd()).into();
        self.0.iter().map(path).collect()
    }
}

impl ModelDescription {
    /// Checks that the files are those that were described. A file that was replaced is taken from
    /// `held`, the paths of the files that the daemon holds; a split model cannot be.
    ///
    /// # Errors
    /// [`LoadError::Unusable`], if a file has changed and is not held.
    pub fn located(mut self, held: &[PathBuf]) -> Result<Self, LoadError> {
        let is_single = self.files.len() == 1;
        for (i, stamp) in self.stamps.iter().enumerate() {
            let Some(path) = self.files.get(i).filter(|path| !stamp.is_at(path)) else { continue };
            let held = held.get(i).filter(|held| is_single && stamp.is_at(held));
            let Some(held) = held.cloned() else { return Err(changed(path)) };
            tracing::warn!("{} was replaced; going on with the file as it was", path.display());
            if let LoadMethod::Repacked(ranges) = &mut self.load_method {
                ranges.iter_mut().for_each(|ranges| ranges.move_to(&held));
            }
            self.source = ModelSource::File(held.clone());
            self.files[i] = held;
        }
        Ok(self)
    }

    /// Checks that no file has changed while it was loaded.
    ///
    /// # Errors
    /// [`LoadError::Unusable`].
    pub(in crate::llama) fn check_unchanged(&self) -> Result<(), LoadError> {
        let mut files = self.files.iter().zip(&self.stamps);
        match files.find(|(path, stamp)| !stamp.is_at(path)) {
            None => Ok(()),
            Some((path, _)) => Err(changed(path)),
        }
    }
}

fn changed(path: &Path) -> LoadError {
    LoadError::Unusable {
        model: path.display().to_string(),
        reason: "it was replaced or changed since its header was checked; start the server again"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llama::file::describe;

    /// A copy of the demo model in a folder, and its description.
    fn model(folder: &Path) -> (PathBuf, ModelDescription) {
        let path = folder.join("model.gguf");
        std::fs::write(&path, crate::llama::file::DEMO).unwrap();
        let description = describe(&ModelSource::File(path.clone())).unwrap();
        (path, description)
    }

    #[test]
    fn replaced_file_is_found_as_long_as_it_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let (path, description) = model(folder.path());
        let held = HeldFiles::open(&description).unwrap();
        assert_eq!(description.clone().located(&held.paths()).unwrap(), description);
        let other = folder.path().join("other.gguf");
        std::fs::write(&other, b"another model").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(description.check_unchanged().is_err());
        assert!(description.clone().located(&[]).is_err());
        if cfg!(target_os = "linux") {
            let located = description.clone().located(&held.paths()).unwrap();
            assert_eq!(located.files, held.paths());
            assert_eq!(std::fs::read(&located.files[0]).unwrap(), crate::llama::file::DEMO);
        }
    }

    #[test]
    fn file_that_was_cut_short_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, description) = model(folder.path());
        let held = HeldFiles::open(&description).unwrap();
        File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
        assert!(HeldFiles::open(&description).is_err());
        let error = description.located(&held.paths()).unwrap_err().to_string();
        assert!(error.contains("was replaced or changed"), "{error}");
    }
}
