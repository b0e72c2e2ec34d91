//! Arrows between crates, and what each manifest must say.
//!
//! It reads what cargo makes of the manifests, so that no way of writing a dependency escapes it, and never
//! resolves dependencies: it works without a network.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{Finding, Rule};
use crate::command::{self, cargo};

static ARROW: Rule = Rule {
    name: "crate arrow",
    why: "Dependencies point one way; a new arrow is an architectural act, listed in `tidy` first.",
};
static PURE_CORE: Rule = Rule {
    name: "pure core",
    why: "The deciding crate does no I/O, reads no clock and draws no random number.",
};
static LINTS: Rule = Rule {
    name: "workspace lints",
    why: "Without `[lints] workspace = true` not one of the lints in the root manifest holds for the crate.",
};
static CLIPPY: Rule = Rule {
    name: "clippy settings",
    why: "clippy reads only the nearest clippy.toml, so what the root's says must be repeated.",
};

/// One of our crates and which others of ours it may depend on.
struct Arrows {
    package: &'static str,
    always: &'static [&'static str],
    in_tests: &'static [&'static str],
}

const CORE: &str = "redis-failover-core";
const STORE: &str = "redis-failover-store";
const CLIENT: &str = "redis-failover";
const SERVER: &str = "redis-failover-server";
const LAB: &str = "redis-failover-lab";
const SIM: &str = "redis-failover-sim";
const ARROWS: [Arrows; 8] = [
    Arrows { package: CORE, always: &[], in_tests: &[] },
    Arrows { package: STORE, always: &[CORE], in_tests: &[LAB] },
    Arrows { package: CLIENT, always: &[CORE, STORE], in_tests: &[LAB] },
    // The writer that counts in the end-to-end tests is the client.
    Arrows { package: SERVER, always: &[CORE, STORE], in_tests: &[LAB, CLIENT] },
    // It is not published, and shows the whole: monitors, clients and real Redis servers.
    Arrows { package: "redis-failover-trial", always: &[CORE, STORE, CLIENT, SERVER, LAB], in_tests: &[] },
    // Its Redis is compared with real ones.
    Arrows { package: SIM, always: &[CORE, STORE], in_tests: &[LAB] },
    Arrows { package: LAB, always: &[], in_tests: &[] },
    Arrows { package: "xtask", always: &[], in_tests: &[] },
];
/// What core may depend on outside its tests.
const CORE_DEPENDENCIES: [&str; 1] = ["thiserror"];
/// What core may depend on where another crate asks for it.
const OPTIONAL_IN_CORE: [&str; 1] = ["serde"];

/// Checks all rules of this module.
///
/// # Errors
///
/// When cargo cannot read the workspace.
pub(super) fn check(root: &Path) -> Result<Vec<Finding>> {
    let mut cargo = cargo("metadata --no-deps --offline --format-version 1");
    let metadata: Value = serde_json::from_str(&command::output(cargo.current_dir(root))?)?;
    let root = root.canonicalize()?;
    let settings = fs::read_to_string(root.join("clippy.toml")).unwrap_or_default();
    let packages = read_packages(&metadata).context("cargo describes the workspace in an unknown way")?;
    let mut findings = Vec::new();
    for package in &packages {
        let path = Path::new(&package.manifest);
        let manifest = Manifest {
            file: path.strip_prefix(&root).unwrap_or(path).to_string_lossy().into_owned(),
            text: fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?,
        };
        findings.extend(check_arrows(&packages, package, &manifest));
        findings.extend(check_lints(&manifest));
        let clippy = manifest.file.replace("Cargo.toml", "clippy.toml");
        if let Ok(text) = fs::read_to_string(root.join(&clippy)) {
            findings.extend(check_clippy(&settings, &clippy, &text));
        }
    }
    Ok(findings)
}

struct Package {
    name: String,
    manifest: String,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    /// Build dependencies are not: they, too, are part of what is built.
    only_in_tests: bool,
    optional: bool,
}

struct Manifest {
    file: String,
    text: String,
}

impl Manifest {
    fn finding(&self, word: &str, rule: &'static Rule, what: String) -> Finding {
        // One crate's name begins another's, so what follows must not go on with it.
        let goes_on = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let is_it =
            |line: &str| line.trim_start().strip_prefix(word).is_some_and(|rest| !rest.starts_with(goes_on));
        let line = self.text.lines().position(is_it).unwrap_or(0) + 1;
        Finding { file: self.file.clone(), line, rule, what }
    }
}

fn read_packages(metadata: &Value) -> Option<Vec<Package>> {
    let text = |value: &Value, key: &str| Some(value.get(key)?.as_str()?.to_owned());
    let dependency = |value: &Value| {
        let only_in_tests = value.get("kind")?.as_str() == Some("dev");
        let optional = value.get("optional").and_then(Value::as_bool) == Some(true);
        Some(Dependency { name: text(value, "name")?, only_in_tests, optional })
    };
    let package = |value: &Value| {
        let dependencies =
            value.get("dependencies")?.as_array()?.iter().map(dependency).collect::<Option<_>>()?;
        Some(Package { name: text(value, "name")?, manifest: text(value, "manifest_path")?, dependencies })
    };
    metadata.get("packages")?.as_array()?.iter().map(package).collect()
}

fn check_arrows(packages: &[Package], package: &Package, manifest: &Manifest) -> Vec<Finding> {
    let name = &package.name;
    let Some(arrows) = ARROWS.iter().find(|arrows| arrows.package == name) else {
        return vec![manifest.finding("name", &ARROW, format!("{name} is not in the list of crates"))];
    };
    let is_ours = |name: &str| packages.iter().any(|package| package.name == name);
    let mut findings = Vec::new();
    for Dependency { name: other, only_in_tests, optional } in &package.dependencies {
        let allowed = arrows.always.contains(&other.as_str());
        let allowed_in_tests = *only_in_tests && arrows.in_tests.contains(&other.as_str());
        if is_ours(other) && !allowed && !allowed_in_tests {
            findings.push(manifest.finding(other, &ARROW, format!("{name} must not depend on {other}")));
        }
        let pure = CORE_DEPENDENCIES.contains(&other.as_str())
            || (*optional && OPTIONAL_IN_CORE.contains(&other.as_str()));
        if name == CORE && !only_in_tests && !is_ours(other) && !pure {
            let what = format!("{other} is not among the dependencies core may have: {CORE_DEPENDENCIES:?}");
            findings.push(manifest.finding(other, &PURE_CORE, what));
        }
    }
    findings
}

fn check_lints(manifest: &Manifest) -> Option<Finding> {
    let mut section = "";
    for line in manifest.text.lines().map(str::trim) {
        if line.starts_with('[') {
            section = line;
        } else if section == "[lints]" && line.replace(' ', "") == "workspace=true" {
            return None;
        }
    }
    Some(manifest.finding("[lints]", &LINTS, "`[lints] workspace = true` is missing".into()))
}

fn check_clippy(settings: &str, file: &str, text: &str) -> Vec<Finding> {
    let repeated = |setting: &&str| text.lines().any(|line| line.trim() == *setting);
    let settings = settings.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    settings
        .filter(|setting| !repeated(setting))
        .map(|setting| Finding {
            file: file.to_owned(),
            line: 1,
            rule: &CLIPPY,
            what: format!("`{setting}` is missing"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What is found in a workspace of all our crates where `from` depends on `to`.
    fn found(from: &str, to: &str, kind: Option<&str>) -> Vec<(usize, &'static str)> {
        found_in(from, to, &json!([{ "name": to, "kind": kind }]))
    }

    fn found_in(from: &str, to: &str, dependencies: &Value) -> Vec<(usize, &'static str)> {
        let package = |name: &str| {
            let dependencies = if name == from { dependencies.clone() } else { json!([]) };
            json!({ "name": name, "manifest_path": "/x/Cargo.toml", "dependencies": dependencies })
        };
        let names = ARROWS.iter().map(|arrows| arrows.package).chain(["newcomer"]);
        let metadata = json!({ "packages": names.map(package).collect::<Vec<_>>() });
        let packages = read_packages(&metadata).unwrap();
        let package = packages.iter().find(|package| package.name == from).unwrap();
        let text = format!("[package]\nname = \"{from}\"\n{to}.workspace = true\n");
        let findings = check_arrows(&packages, package, &Manifest { file: "Cargo.toml".into(), text });
        findings.iter().map(|finding| (finding.line, finding.rule.name)).collect()
    }

    #[test]
    fn an_arrow_that_is_not_listed_is_found() {
        let arrow = [(3, ARROW.name)];
        assert_eq!(found(CORE, STORE, None), arrow);
        assert_eq!(found(CORE, LAB, Some("dev")), arrow);
        assert_eq!(found(STORE, LAB, None), arrow);
        assert_eq!(found(STORE, LAB, Some("build")), arrow);
        assert_eq!(found(LAB, CORE, None), arrow);
        assert_eq!(found(SIM, LAB, None), arrow);
        assert_eq!(found(SIM, SERVER, Some("dev")), arrow);
        assert_eq!(found("xtask", LAB, Some("dev")), arrow);
        assert_eq!(found(SERVER, "newcomer", None), arrow);
        assert_eq!(found(SERVER, CLIENT, None), arrow);
        assert_eq!(found(CLIENT, SERVER, Some("dev")), arrow);
        assert_eq!(found(CLIENT, LAB, None), arrow);
        assert_eq!(found(CLIENT, "redis-failover-trial", None), arrow);
        assert_eq!(found(LAB, "redis-failover-trial", Some("dev")), arrow);
        assert_eq!(found("newcomer", CORE, None), [(2, ARROW.name)]);
    }

    #[test]
    fn a_listed_arrow_is_not() {
        assert_eq!(found(STORE, CORE, None), []);
        assert_eq!(found(STORE, LAB, Some("dev")), []);
        assert_eq!(found(SERVER, STORE, None), []);
        assert_eq!(found(SERVER, "tokio", None), []);
        assert_eq!(found(SERVER, CLIENT, Some("dev")), []);
        assert_eq!(found(CLIENT, STORE, None), []);
        assert_eq!(found(SIM, STORE, None), []);
        assert_eq!(found(SIM, LAB, Some("dev")), []);
        assert_eq!(found(CLIENT, LAB, Some("dev")), []);
        for package in [CORE, STORE, CLIENT, SERVER, LAB] {
            assert_eq!(found("redis-failover-trial", package, None), []);
        }
    }

    #[test]
    fn a_finding_is_at_its_own_crate_and_not_at_one_whose_name_goes_on() {
        let text = "redis-failover-core = 1\nredis-failover_x = 1\n redis-failover = 1\n";
        let manifest = Manifest { file: "Cargo.toml".into(), text: text.into() };
        assert_eq!(manifest.finding(CLIENT, &ARROW, String::new()).line, 3);
        assert_eq!(manifest.finding(CORE, &ARROW, String::new()).line, 1);
        assert_eq!(
            manifest.finding("[lints]", &LINTS, String::new()).line,
            1,
            "what is nowhere is at the top"
        );
    }

    #[test]
    fn core_depends_on_the_short_list_only() {
        assert_eq!(found(CORE, "tokio", None), [(3, PURE_CORE.name)]);
        assert_eq!(found(CORE, "tokio", Some("build")), [(3, PURE_CORE.name)]);
        assert_eq!(found(CORE, "thiserror", None), []);
        assert_eq!(found(CORE, "proptest", Some("dev")), []);
        let optional = |name| json!([{ "name": name, "kind": null, "optional": true }]);
        assert_eq!(found_in(CORE, "serde", &optional("serde")), []);
        assert_eq!(found(CORE, "serde", None), [(3, PURE_CORE.name)], "all who use core would have it");
        assert_eq!(found_in(CORE, "tokio", &optional("tokio")), [(3, PURE_CORE.name)]);
    }

    #[test]
    fn missing_lints_are_found() {
        let found =
            |text: &str| check_lints(&Manifest { file: "Cargo.toml".into(), text: text.into() }).is_some();
        assert!(found("[package]\nname = \"x\"\n"));
        assert!(found("[lints]\n[dependencies]\nworkspace = true\n"));
        assert!(!found("[lints]\nworkspace = true\n"));
    }

    #[test]
    fn a_setting_that_is_not_repeated_is_found() {
        let findings = check_clippy("# why\na = 1\nb = 2\n", "crates/core/clippy.toml", "b = 2\na = 3\n");
        let found: Vec<&str> = findings.iter().map(|finding| finding.what.as_str()).collect();
        assert_eq!(found, ["`a = 1` is missing"]);
    }

    #[test]
    fn this_workspace_can_be_read() {
        let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
        check(root).unwrap();
    }
}
