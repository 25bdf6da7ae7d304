//! Which command is carried out where, and in which state.

use store::AccountId;
use tokio::io::{AsyncRead, AsyncWrite};

use super::connection::Stop;
use super::reply::Reply;
use super::{Session, messages};
use crate::parse::Command;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<S> {
    pub(super) async fn carry_out(&mut self, tag: &str, command: Command) -> Result<Reply, Stop> {
        match command {
            Command::Capability => {
                let line = format!("* CAPABILITY {}", self.capabilities());
                self.connection.line(&line);
                Ok(Reply::ok("that is all"))
            }
            Command::Noop => self.told(true, Reply::ok("done")),
            Command::Logout => {
                self.connection.line("* BYE until next time");
                Reply::ok("done").write(Some(tag), &mut self.connection.out);
                Err(Stop::Logout)
            }
            Command::Id(_) => Ok(self.identify()),
            other => match self.account {
                None => self.before_login(tag, other).await,
                Some(account) => self.after_login(tag, account, other).await,
            },
        }
    }

    async fn before_login(&mut self, tag: &str, command: Command) -> Result<Reply, Stop> {
        match command {
            Command::StartTls => self.start_tls(tag).await,
            Command::Authenticate { mechanism, initial } => self.sasl(&mechanism, initial).await,
            Command::Login { user, password } => self.login(&user, &password).await,
            _ => Ok(Reply::bad("log in first")),
        }
    }

    async fn after_login(&mut self, tag: &str, account: AccountId, command: Command) -> Result<Reply, Stop> {
        match command {
            Command::StartTls | Command::Authenticate { .. } | Command::Login { .. } => {
                Ok(Reply::bad("you are logged in already"))
            }
            Command::Compress(algorithm) => self.compress(tag, &algorithm).await,
            Command::Unauthenticate => self.unauthenticate(tag).await,
            Command::Enable(names) => Ok(self.enable(&names)),
            Command::Idle => self.idle().await,
            Command::Append { mailbox, messages } => {
                let reply = self.append(account, &mailbox, messages).await?;
                self.told(true, reply)
            }
            Command::Replace { .. } => self.admitted_replace(account, command).await,
            Command::Select { mailbox, read_only, parameters } => {
                self.select(account, &mailbox, read_only, parameters).await
            }
            Command::Check | Command::Close | Command::Unselect | Command::Expunge { .. } => {
                self.selected_command(tag, command).await
            }
            Command::Sort { .. } | Command::Thread { .. } => self.selected_command(tag, command).await,
            Command::Search { .. } | Command::Fetch { .. } | Command::Store { .. } | Command::Copy { .. } => {
                self.selected_command(tag, command).await
            }
            other => {
                self.note_own_names(&other);
                let reply = self.mailbox_command(tag, account, other).await?;
                self.told(true, reply)
            }
        }
    }

    /// REPLACE takes a message away here and puts one there.
    async fn admitted_replace(&mut self, account: AccountId, command: Command) -> Result<Reply, Stop> {
        match self.admit(self.with_saved(command)) {
            Ok(Command::Replace { uid, set, mailbox, message }) => {
                self.replace(account, uid, &set, &mailbox, message).await
            }
            Ok(_) => Ok(Reply::bad("this is no command about messages")),
            Err(reply) => Ok(reply),
        }
    }

    async fn selected_command(&mut self, tag: &str, command: Command) -> Result<Reply, Stop> {
        if self.selected.is_none() {
            return Ok(Reply::bad("select a mailbox first"));
        }
        let command = match self.admit(self.with_saved(command)) {
            Ok(command) => command,
            Err(reply) => return Ok(reply),
        };
        match command {
            Command::Check => self.told(true, Reply::ok("everything is on disk")),
            Command::Close => self.close_mailbox().await,
            Command::Unselect => {
                self.leave_mailbox().await;
                Ok(Reply::ok("no mailbox is selected"))
            }
            Command::Expunge { uids } => self.expunge(uids).await,
            Command::Search { uid, returns, key } => self.search(tag, uid, returns, key).await,
            Command::Sort { uid, returns, criteria, key } => {
                self.sort(tag, uid, returns, criteria, key).await
            }
            Command::Thread { uid, algorithm, key } => self.thread(uid, algorithm, key).await,
            Command::Fetch { uid, set, items, modifiers } => self.fetch(uid, &set, items, modifiers).await,
            Command::Store { uid, set, unchanged_since, mode, silent, flags } => {
                let change = messages::FlagChange { unchanged_since, mode, silent, flags };
                if let Some((remove, add)) = self.narrowed_replace(&change) {
                    self.store_flags(uid, &set, remove).await?;
                    return self.store_flags(uid, &set, add).await;
                }
                self.store_flags(uid, &set, change).await
            }
            Command::Copy { uid, remove, set, mailbox } => self.copy(uid, remove, &set, &mailbox).await,
            // The caller sends nothing else here.
            _ => Ok(Reply::bad("this is no command about messages")),
        }
    }
}
