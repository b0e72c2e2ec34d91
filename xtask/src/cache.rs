//! Where what is fetched for tests is kept: outside the tree, by the variables of the XDG base directories.
//!
//! It makes nothing there.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result};

/// The directory, which the tests work out by the same rule (`cache` in crates/lab).
///
/// # Errors
///
/// When no variable says where a cache may be.
pub(crate) fn directory() -> Result<PathBuf> {
    of(|name| env::var_os(name).map(PathBuf::from))
}

fn of(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    let home = || variable("HOME").filter(absolute).map(|home| home.join(".cache"));
    let base = variable("XDG_CACHE_HOME").filter(absolute).or_else(home);
    Ok(base.context("neither XDG_CACHE_HOME nor HOME says where a cache may be")?.join("redis-failover"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Option<PathBuf> {
        let find = |name: &str| variables.iter().find(|(it, _)| *it == name).map(|(_, path)| path.into());
        of(find).ok()
    }

    #[test]
    fn it_is_where_xdg_says() {
        let expected = |path: &str| Some(PathBuf::from(path));
        assert_eq!(with(&[("HOME", "/h")]), expected("/h/.cache/redis-failover"));
        assert_eq!(with(&[("HOME", "/h"), ("XDG_CACHE_HOME", "/c")]), expected("/c/redis-failover"));
        let relative = [("HOME", "/h"), ("XDG_CACHE_HOME", "c")];
        assert_eq!(with(&relative), expected("/h/.cache/redis-failover"));
        assert_eq!(with(&[]), None);
    }
}
