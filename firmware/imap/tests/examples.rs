//! The examples of the RFCs, replayed: each file of `rfc/` is a list of scenes, each with a service of its own.
//! `A`, `B` and `C` are sessions of alice, `X` and `Y` of bob; the tag is `tag`. What is recent is left out.

mod client;
mod script;

use std::collections::HashMap;

use client::{Client, Service};
use script::{Player, shown};

/// Which of two sessions sees a message as recent depends on which one was faster.
fn is_of_recents(response: &str) -> bool {
    response.starts_with("* ") && response.ends_with(" RECENT")
}

fn without_recent(text: &str) -> String {
    text.replace("\\Recent ", "").replace(" \\Recent", "").replace("\\Recent", "")
}

struct Scene {
    service: Service,
    sessions: HashMap<char, Client>,
}

impl Scene {
    async fn new() -> Self {
        let service = Service::start().await;
        service.add_account("bob@example.test").await;
        Self { service, sessions: HashMap::new() }
    }

    async fn session(&mut self, name: char) -> &mut Client {
        if !self.sessions.contains_key(&name) {
            let who = if "XYZ".contains(name) { "bob@example.test" } else { "alice@example.test" };
            let client = self.service.login_as(who).await;
            self.sessions.insert(name, client);
        }
        self.sessions.get_mut(&name).expect("it was just made")
    }
}

impl Player for Scene {
    async fn begin(&mut self) {
        *self = Self::new().await;
    }

    /// Up to the tagged answer, or as many responses as expected.
    async fn step(&mut self, name: char, kind: char, text: &str, expected: Option<usize>) -> Vec<String> {
        let client = self.session(name).await;
        match kind {
            '>' => client.begin(text).await,
            '!' => client.send(format!("{text}\r\n")).await,
            _ => {}
        }
        let tag = format!("{} ", client.last_tag());
        let mut told = Vec::new();
        while kind != '?' || expected.map_or(!client.is_quiet().await, |count| told.len() < count) {
            let response = client.response().await;
            if is_of_recents(&response) {
                continue;
            }
            let tagged = response.strip_prefix(&tag).map(|rest| format!("tag {rest}"));
            told.push(without_recent(&shown(tagged.as_deref().unwrap_or(&response))));
            if kind != '?' && (tagged.is_some() || response.starts_with("+ ")) {
                break;
            }
        }
        told
    }
}

macro_rules! examples {
    ($($name:ident $file:literal)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            script::replay(&mut Scene::new().await, $file).await;
        }
    )*};
}

examples! {
    access_and_quota "access.txt"
    appending "append.txt"
    resynchronization "sync.txt"
    searching "search.txt"
    sorting_and_threads "sort.txt"
    mailboxes "mailboxes.txt"
    notices "notify.txt"
    messages "messages.txt"
    revision_2 "rev2.txt"
}
