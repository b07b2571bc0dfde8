//! Where the program `flame-media` is.

use std::{
    env,
    path::{Path, PathBuf},
};

use crate::error::ChildError;

/// The program's file name.
const NAME: &str = "flame-media";
/// Names the program, before anything is searched.
const VARIABLE: &str = "FLAME_MEDIA";

/// Finds `flame-media`: the variable `FLAME_MEDIA`, else beside the running program (one folder up if that
/// is a test in `deps`), else in `PATH`.
///
/// # Errors
/// [`ChildError::NotFound`] with the place where it should be.
pub fn find_program() -> Result<PathBuf, ChildError> {
    if let Some(program) = env::var_os(VARIABLE).filter(|program| !program.is_empty()) {
        let program = PathBuf::from(program);
        return if program.is_file() { Ok(program) } else { Err(ChildError::NotFound { program }) };
    }
    let own = env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_path_buf));
    let beside = own.as_deref().unwrap_or(Path::new("."));
    let mut folders = vec![beside.to_path_buf()];
    if beside.ends_with("deps") {
        folders.extend(beside.parent().map(Path::to_path_buf));
    }
    folders.extend(env::var_os("PATH").iter().flat_map(env::split_paths));
    let found = folders.iter().map(|folder| folder.join(NAME)).find(|program| program.is_file());
    found.ok_or_else(|| ChildError::NotFound { program: beside.join(NAME) })
}
