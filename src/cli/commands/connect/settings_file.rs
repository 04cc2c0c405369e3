//! Merges one entry into a JSON file of another program. Only the entry changes: order and text of all other
//! members are preserved. The former file is kept as a backup beside it, for `--undo`.

use std::{
    fmt, fs,
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use serde::{
    Deserialize,
    de::{Deserializer, MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::cli::output::error::CliError;

/// Content of the backup if there was no file before.
const NO_FILE: &str = "";

/// Writes `entry` (JSON) at `within.name`. Returns `false` if the entry is already there.
pub fn put(path: &Path, within: &str, name: &str, entry: &str) -> Result<bool, CliError> {
    let entry = pretty(entry, 4);
    let (path, before) = read(path)?;
    let mut root = parse(&path, &before)?;
    let mut servers = root.object(within, &path)?;
    if servers
        .get(name)
        .is_some_and(|there| json_equal(there, &entry))
    {
        return Ok(false);
    }
    servers.set(name, entry);
    root.set(within, servers.render(2));
    let kept = backup_path(&path, name);
    if !kept.exists() {
        write(&kept, &before, 0o600)?;
    }
    write(&path, &(root.render(0) + "\n"), file_mode(&path))?;
    Ok(true)
}

/// Returns `false` if [`put`] would find `entry` in its place already. Fails if [`put`] would, before anything is written.
pub fn would_change(path: &Path, within: &str, name: &str, entry: &str) -> Result<bool, CliError> {
    let entry = pretty(entry, 4);
    let there = self::entry(path, within, name)?;
    Ok(there.is_none_or(|there| !json_equal(&there, &entry)))
}

/// Returns the text of `within.name`, if present. Fails if [`put`] would, before anything is written.
pub fn entry(path: &Path, within: &str, name: &str) -> Result<Option<String>, CliError> {
    let (path, text) = read(path)?;
    let servers = parse(&path, &text)?.object(within, &path)?;
    Ok(servers.get(name).map(str::to_owned))
}

/// Restores `within.name` to its state before [`put`]: the former entry, or none.
pub fn undo(path: &Path, within: &str, name: &str) -> Result<(), CliError> {
    let (path, now) = read(path)?;
    let (kept, before) = backup(&path, name)?;
    let former = parse(&path, &before)?.object(within, &path)?.take(name);
    let mut root = parse(&path, &now)?;
    let mut servers = root.object(within, &path)?;
    match former {
        Some(former) => servers.set(name, former),
        None => drop(servers.take(name)),
    }
    if servers.0.is_empty() && parse(&path, &before)?.get(within).is_none() {
        drop(root.take(within));
    } else {
        root.set(within, servers.render(2));
    }
    let created = before == NO_FILE && root.0.is_empty();
    let removed = if created {
        fs::remove_file(&path)
    } else {
        write(&path, &(root.render(0) + "\n"), file_mode(&path))?;
        Ok(())
    };
    removed
        .and_then(|()| fs::remove_file(&kept))
        .map_err(|error| CliError::error(format!("cannot remove {}: {error}", kept.display())))
}

/// Checks that there is a backup for [`undo`].
pub fn require_backup(path: &Path, name: &str) -> Result<(), CliError> {
    let (path, _) = read(path)?;
    backup(&path, name).map(drop)
}

/// Returns the path and the text of the backup.
fn backup(path: &Path, name: &str) -> Result<(PathBuf, String), CliError> {
    let kept = backup_path(path, name);
    match fs::read_to_string(&kept) {
        Ok(before) => Ok((kept, before)),
        Err(_) => Err(CliError::error(format!(
            "{} does not exist: nothing to undo",
            kept.display()
        ))
        .with_note("it is what `--write` keeps of the file as it was")
        .with_next_step(format!(
            "`--name` names another entry that `--write` made; otherwise take the entry out of {} by hand",
            path.display()
        ))),
    }
}

/// JSON object whose members keep their order and their text.
#[derive(Debug, Default, PartialEq, Eq)]
struct OrderedJsonObject(Vec<(String, String)>);

impl OrderedJsonObject {
    fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(member, _)| member == name)
            .map(|(_, raw)| raw.as_str())
    }

    fn set(&mut self, name: &str, raw: String) {
        match self.0.iter_mut().find(|(member, _)| member == name) {
            Some((_, there)) => *there = raw,
            None => self.0.push((name.to_owned(), raw)),
        }
    }

    fn take(&mut self, name: &str) -> Option<String> {
        let index = self.0.iter().position(|(member, _)| member == name)?;
        Some(self.0.remove(index).1)
    }

    fn object(&self, name: &str, path: &Path) -> Result<Self, CliError> {
        match self.get(name) {
            Some(raw) => parse(path, raw),
            None => Ok(Self::default()),
        }
    }

    /// Formats the object as JSON with its members one level deeper than `indent`.
    fn render(&self, indent: usize) -> String {
        if self.0.is_empty() {
            return "{}".to_owned();
        }
        let pad = " ".repeat(indent + 2);
        let member = |(name, raw): &(String, String)| {
            format!("{pad}{}: {raw}", serde_json::Value::String(name.clone()))
        };
        let members: Vec<_> = self.0.iter().map(member).collect();
        format!("{{\n{}\n{}}}", members.join(",\n"), " ".repeat(indent))
    }
}

impl<'de> Deserialize<'de> for OrderedJsonObject {
    fn deserialize<D: Deserializer<'de>>(json: D) -> Result<Self, D::Error> {
        struct OrderedObjectVisitor;
        impl<'de> Visitor<'de> for OrderedObjectVisitor {
            type Value = OrderedJsonObject;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<M: MapAccess<'de>>(
                self,
                mut map: M,
            ) -> Result<OrderedJsonObject, M::Error> {
                let mut members = OrderedJsonObject::default();
                while let Some((name, raw)) = map.next_entry::<String, Box<RawValue>>()? {
                    members.set(&name, raw.get().to_owned());
                }
                Ok(members)
            }
        }
        json.deserialize_map(OrderedObjectVisitor)
    }
}

fn parse(path: &Path, text: &str) -> Result<OrderedJsonObject, CliError> {
    if text.trim().is_empty() {
        return Ok(OrderedJsonObject::default());
    }
    serde_json::from_str(text).map_err(|error| {
        CliError::error(format!("{} is not plain JSON: {error}", path.display()))
            .with_note("it was left as it is; files with comments cannot be merged")
            .with_next_step(
                "put the settings in by hand: the same command without --write shows them",
            )
    })
}

/// Returns the path of the file, with symbolic links resolved, and its text.
fn read(path: &Path) -> Result<(PathBuf, String), CliError> {
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match fs::read_to_string(&path) {
        Ok(text) => Ok((path, text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Ok((path, NO_FILE.to_owned()))
        }
        Err(error) => Err(CliError::error(format!(
            "cannot read {}: {error}",
            path.display()
        ))),
    }
}

/// Writes a temporary file beside the target and renames it, so that the client never reads a partial file.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CliError> {
    let temporary = path.with_extension("toolgate-new");
    let written = path
        .parent()
        .map_or(Ok(()), fs::create_dir_all)
        .and_then(|()| {
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(mode)
                .open(&temporary)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&temporary, path)
        });
    written.map_err(|error| CliError::error(format!("cannot write {}: {error}", path.display())))
}

/// Returns the mode of the file. A new file holds a token and is readable by its owner only.
fn file_mode(path: &Path) -> u32 {
    fs::metadata(path).map_or(0o600, |there| there.permissions().mode() & 0o777)
}

fn backup_path(path: &Path, name: &str) -> PathBuf {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!("{file}.before-toolgate-{name}"))
}

fn json_equal(a: &str, b: &str) -> bool {
    let value = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    value(a) == value(b)
}

fn pretty(json: &str, indent: usize) -> String {
    match serde_json::from_str::<OrderedJsonObject>(json) {
        Ok(members) => members.render(indent),
        Err(_) => json.to_owned(),
    }
}

#[cfg(test)]
mod tests;
