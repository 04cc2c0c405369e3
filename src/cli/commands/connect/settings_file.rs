//! Merges one entry into a JSON file of another program. Only the entry changes: order and text of all other
//! members are preserved. The former file is kept as a backup beside it, for `--undo`. The entry holds a token, so that only
//! the owner may read the file.

use std::{
    fmt, fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
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

/// Bits of a mode that give access to others than the owner.
const OTHERS: u32 = 0o077;

/// Maximum number of symbolic links between a path and its file.
const MAX_LINKS: usize = 40;

/// Effect of [`put`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SettingsChange {
    /// `false` if the entry was there already.
    pub is_changed: bool,
    /// Former mode of the file, if others than its owner had access. They have none now.
    pub former_mode: Option<u32>,
}

/// Writes `entry` (JSON) at `within.name`, and takes the access to the file from all but its owner.
pub fn put(path: &Path, within: &str, name: &str, entry: &str) -> Result<SettingsChange, CliError> {
    let entry = pretty(entry, 4);
    let (path, before) = read(path)?;
    let mut root = parse(&path, &before)?;
    let mut servers = root.object(within, &path)?;
    if servers
        .get(name)
        .is_some_and(|there| json_equal(there, &entry))
    {
        let former_mode = close_to_others(&path)?;
        return Ok(SettingsChange {
            is_changed: false,
            former_mode,
        });
    }
    servers.set(name, entry);
    root.set(within, servers.render(2));
    let kept = backup_path(&path, name);
    if !kept.exists() {
        write(&kept, &before, 0o600)?;
    }
    let former_mode = open_mode(&path);
    let mode = file_mode(&path) & !OTHERS;
    write(&path, &(root.render(0) + "\n"), mode)?;
    Ok(SettingsChange {
        is_changed: true,
        former_mode,
    })
}

/// Returns the mode of the file if others than its owner have access.
pub fn open_mode(path: &Path) -> Option<u32> {
    let there = fs::metadata(path).ok()?;
    let mode = there.permissions().mode() & 0o777;
    (mode & OTHERS != 0).then_some(mode)
}

/// Takes the access to a file from all but its owner. Returns its former mode, if others had access.
fn close_to_others(path: &Path) -> Result<Option<u32>, CliError> {
    let Some(mode) = open_mode(path) else {
        return Ok(None);
    };
    let closed = fs::set_permissions(path, fs::Permissions::from_mode(mode & !OTHERS));
    match closed.map(|()| open_mode(path)) {
        Ok(None) => Ok(Some(mode)),
        Ok(Some(_)) => Err(unclosable(path, "its file system keeps no modes")),
        Err(error) => Err(unclosable(path, &error.to_string())),
    }
}

/// Returns the error of a file that others could read.
fn unclosable(path: &Path, reason: &str) -> CliError {
    CliError::error(format!(
        "{} holds a token, and other users may read it: {reason}",
        path.display()
    ))
    .with_next_step("let its owner run `chmod 600` on it, or put it on a file system with modes")
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
    let path = followed(path);
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

/// Returns the file that a path names, through symbolic links, also if that file does not exist yet.
fn followed(path: &Path) -> PathBuf {
    if let Ok(path) = fs::canonicalize(path) {
        return path;
    }
    let mut file = path.to_owned();
    for _link in 0..MAX_LINKS {
        match fs::read_link(&file) {
            // A relative target is relative to the folder of the link; `join` keeps an absolute one.
            Ok(target) => file = file.with_file_name("").join(target),
            Err(_) => return file,
        }
    }
    path.to_owned()
}

/// Writes a temporary file beside the target and renames it, so that the client never reads a partial file, and that no other
/// user reads it before its mode is set.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), CliError> {
    let cannot =
        |error: io::Error| CliError::error(format!("cannot write {}: {error}", path.display()));
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(cannot)?;
    }
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = path.with_file_name(format!(".{file}.toolgate-{}", std::process::id()));
    // A file that is there is not used: it could be open elsewhere, or be a link.
    let created = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&temporary);
    let mut created = created.map_err(cannot)?;
    let replaced = fill(&mut created, path, text, mode)
        .and_then(|()| fs::rename(&temporary, path).map_err(cannot));
    if replaced.is_err() {
        drop(fs::remove_file(&temporary));
    }
    replaced
}

/// Fills a new file that takes the place of `path`. Nothing is written before its mode and its owner are right.
fn fill(file: &mut fs::File, path: &Path, text: &str, mode: u32) -> Result<(), CliError> {
    let cannot =
        |error: io::Error| CliError::error(format!("cannot write {}: {error}", path.display()));
    let created = file.metadata().map_err(cannot)?;
    if let Ok(there) = fs::metadata(path)
        && there.uid() != created.uid()
    {
        let owner = fchown(&*file, Some(there.uid()), Some(there.gid()));
        owner.map_err(cannot)?;
    }
    let permissions = fs::Permissions::from_mode(mode);
    file.set_permissions(permissions).map_err(cannot)?;
    let given = file.metadata().map_err(cannot)?.permissions().mode();
    if given & OTHERS & !mode != 0 {
        return Err(unclosable(path, "its file system keeps no modes"));
    }
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(cannot)
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
