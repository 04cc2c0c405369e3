//! Dry runs of `connect --write` and `connect --undo`: everything is checked and told, and nothing is written, created or
//! revoked.

use super::{
    CheckedEntry, ConnectArgs, client_token,
    clients::{ClientProfile, TemplateValues},
    end_in_words, settings_file,
};
use crate::cli::output::{OutputWriter, error::CliError};

impl ConnectArgs {
    /// Tells what `--write` would do.
    pub(super) async fn preview_write(
        &self,
        client: &ClientProfile,
        gateway: &str,
        name: String,
        out: &mut OutputWriter,
    ) -> Result<(), CliError> {
        let CheckedEntry {
            path,
            within,
            before,
            url,
        } = self.check_entry(client, gateway, &name, out).await?;
        let is_changed = match &self.token {
            Some(token) => {
                let token = token.clone();
                let given = TemplateValues { name, url, token };
                let entry = given.fill(client.entry);
                settings_file::would_change(&path, within, &given.name, &entry)?
            }
            None => {
                let mut admin = self.admin().connect()?;
                client_token::check(&mut admin, client, gateway, self.lifetime()).await?;
                true
            }
        };
        let name = self.name.as_deref().unwrap_or(gateway);
        let word = match is_changed {
            true => "would be written",
            false => "is already there",
        };
        let place = path.display();
        out.line(format_args!("{place}: {within}.{name} {word} (dry run)"))?;
        if let Some(mode) = settings_file::open_mode(&path) {
            out.notice(format_args!(
                "  others than its owner have access to the file (mode {mode:03o}); they would have none, because it holds a token"
            ));
        }
        if self.token.is_none() {
            let end = end_in_words(self.lifetime());
            out.notice(format_args!(
                "  a token for the gateway {gateway} would be made for it; it {end}"
            ));
            self.tell_former_token(client, before.as_deref(), out).await;
        }
        out.notice("  next: the same command without `--dry-run`");
        Ok(())
    }

    /// Tells what `--undo` would do.
    pub(super) async fn preview_undo(
        &self,
        client: &ClientProfile,
        name: &str,
        out: &mut OutputWriter,
    ) -> Result<(), CliError> {
        let (path, within) = self.settings_location(client)?;
        let before = settings_file::entry(&path, within, name)?;
        settings_file::require_backup(&path, name)?;
        out.line(format_args!(
            "{}: {within}.{name} would be as it was before (dry run)",
            path.display()
        ))?;
        self.tell_former_token(client, before.as_deref(), out).await;
        out.notice("  next: the same command without `--dry-run`");
        Ok(())
    }

    /// Names the token in the file that would be revoked, if there is one.
    async fn tell_former_token(
        &self,
        client: &ClientProfile,
        entry: Option<&str>,
        out: &mut OutputWriter,
    ) {
        let Some(entry) = entry else {
            return;
        };
        let found = async {
            let mut admin = self.admin().connect()?;
            client_token::former(&mut admin, client, entry).await
        };
        match super::in_time(found).await {
            Ok(Some(id)) => out.notice(format_args!(
                "  the token {id} that is in the file would be revoked"
            )),
            Ok(None) => {}
            Err(fault) => out.notice(format_args!(
                "  whether the token that is in the file would be revoked is unknown: {}",
                fault.message
            )),
        }
    }
}
