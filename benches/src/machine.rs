//! What figures were taken on.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread::available_parallelism;

use anyhow::{Context, Result};
use serde::Deserialize;

/// The machine, and what was built and run on it.
#[derive(Debug)]
pub struct Machine {
    /// As `/proc/cpuinfo` names it.
    pub cpu: String,
    /// How many cores there are for us.
    pub cores: usize,
    /// Linux's version, without the name of its build.
    pub kernel: String,
    /// The compiler's version.
    pub rustc: String,
    /// The commit, and whether files differ from it.
    pub commit: String,
    /// In UTC.
    pub date: String,
}

impl Machine {
    /// This one, now.
    ///
    /// # Errors
    ///
    /// When the system does not tell.
    pub fn this() -> Result<Self> {
        Ok(Self {
            cpu: cpu_model(&read("/proc/cpuinfo")?).unwrap_or("unknown").to_owned(),
            cores: available_parallelism()?.get(),
            kernel: version(&read("/proc/sys/kernel/osrelease")?).to_owned(),
            rustc: told_by("rustc", &["--version"])?,
            commit: commit().unwrap_or_else(|_| "unknown".to_owned()),
            date: told_by("date", &["-u", "+%Y-%m-%d %H:%M UTC"])?,
        })
    }
}

fn version(release: &str) -> &str {
    release.trim().split('-').next().unwrap_or_default()
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

fn cpu_model(cpuinfo: &str) -> Option<&str> {
    let line = cpuinfo.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim())
}

fn commit() -> Result<String> {
    let changed = told_by("git", &["status", "--porcelain", "--untracked-files=no"])?;
    let commit = told_by("git", &["rev-parse", "--short=12", "HEAD"])?;
    Ok(if changed.is_empty() { commit } else { format!("{commit}, with changes") })
}

fn told_by(program: &str, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.output().with_context(|| format!("cannot run {program}"))?;
    anyhow::ensure!(output.status.success(), "{program} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

#[derive(Deserialize)]
struct LockFile {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: String,
}

/// The versions of a package in a lock file; several if it is in there several times.
///
/// # Errors
///
/// When the file is no lock file, or has no such package.
pub fn locked_versions(lock_file: &Path, package: &str) -> Result<String> {
    let text =
        fs::read_to_string(lock_file).with_context(|| format!("cannot read {}", lock_file.display()))?;
    let lock: LockFile = toml::from_str(&text)?;
    let versions: Vec<_> =
        lock.package.into_iter().filter(|entry| entry.name == package).map(|entry| entry.version).collect();
    anyhow::ensure!(!versions.is_empty(), "{package} is not in {}", lock_file.display());
    Ok(versions.join(", "))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Machine, cpu_model, locked_versions};

    #[test]
    fn models() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: Other\n";
        assert_eq!(cpu_model(text), Some("Some CPU @ 2 GHz"));
        assert_eq!(cpu_model("processor\t: 0\n"), None);
    }

    #[test]
    fn this_machine_tells_what_it_is() {
        let machine = Machine::this().unwrap();
        assert!(machine.cores > 0 && machine.rustc.starts_with("rustc "), "{machine:?}");
    }

    #[test]
    fn versions_come_from_lock_files() {
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
        assert!(locked_versions(&lock, "tokio").unwrap().starts_with("1."));
        assert!(locked_versions(&lock, "no-such-package").is_err());
    }
}
