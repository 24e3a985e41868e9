//! Finds the files of a described model in a runner, and tells that they have changed.

use std::path::PathBuf;

use crate::llama::error::LoadError;

use super::describe::ModelDescription;
use super::load_method::LoadMethod;

impl ModelDescription {
    /// The same model in the files at `held`, which the daemon holds. If a file is not found there,
    /// it is used by its own path.
    ///
    /// # Errors
    /// [`LoadError::Unusable`], if a file has changed since it was described, or is not held and
    /// was replaced.
    pub fn located(mut self, held: &[PathBuf]) -> Result<Self, LoadError> {
        for (i, stamp) in self.stamps.iter().enumerate() {
            let Some(path) = self.files.get(i) else { continue };
            let is_at_path = stamp.is_at(path);
            match held.get(i).filter(|held| stamp.is_at(held)) {
                Some(held) => {
                    if !is_at_path {
                        let path = path.display();
                        tracing::warn!("{path} was replaced; going on with the file as it was");
                    }
                    if let LoadMethod::Repacked(ranges) = &mut self.load_method
                        && let Some(ranges) = ranges.get_mut(i)
                    {
                        ranges.move_to(held);
                    }
                    held.clone_into(&mut self.files[i]);
                }
                None if is_at_path => {}
                None => return Err(changed(path.display().to_string())),
            }
        }
        Ok(self)
    }

    /// Checks that no file has changed while it was loaded.
    ///
    /// # Errors
    /// [`LoadError::Unusable`].
    pub(in crate::llama) fn check_unchanged(&self) -> Result<(), LoadError> {
        let mut files = self.files.iter().zip(&self.stamps);
        match files.all(|(path, stamp)| stamp.is_at(path)) {
            true => Ok(()),
            false => Err(changed(self.source.name())),
        }
    }
}

fn changed(model: String) -> LoadError {
    LoadError::Unusable {
        model,
        reason: "it was replaced or changed since its header was checked; start the server again"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;

    use super::*;
    use crate::llama::file::{HeldFiles, ModelSource, open};

    /// A copy of the demo model in a folder, opened and described.
    fn model(folder: &Path) -> (PathBuf, ModelDescription, HeldFiles) {
        let path = folder.join("model.gguf");
        std::fs::write(&path, crate::llama::file::DEMO).unwrap();
        let (description, held) = open(&ModelSource::File(path.clone())).unwrap();
        (path, description, held)
    }

    #[test]
    fn replaced_file_is_found_as_long_as_it_is_held() {
        let folder = tempfile::tempdir().unwrap();
        let (path, description, held) = model(folder.path());
        assert_eq!(description.clone().located(&[]).unwrap(), description);
        let other = folder.path().join("other.gguf");
        std::fs::write(&other, b"another model").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(description.check_unchanged().is_err());
        assert!(description.clone().located(&[]).is_err());
        if cfg!(target_os = "linux") {
            let located = description.clone().located(&held.paths()).unwrap();
            assert_eq!((&located.files, &located.source), (&held.paths(), &description.source));
            assert_eq!(std::fs::read(&located.files[0]).unwrap(), crate::llama::file::DEMO);
            assert!(located.check_unchanged().is_ok());
        }
    }

    #[test]
    fn file_that_was_cut_short_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let (path, description, held) = model(folder.path());
        File::options().write(true).open(&path).unwrap().set_len(1000).unwrap();
        let error = description.located(&held.paths()).unwrap_err().to_string();
        assert!(error.contains("was replaced or changed"), "{error}");
    }
}
