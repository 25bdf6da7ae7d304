//! NOTIFY: what a client hears without asking.

mod client;

use client::Service;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_mailboxes_are_told_by_status() {
    let service = Service::start().await;
    let mut actor = service.login().await;
    actor.ok("CREATE two").await;
    actor.append("two", "", "Subject: a\r\n\r\n").await;
    let mut client = service.login().await;
    let set = client.ok("NOTIFY SET STATUS (mailboxes two (MessageNew MessageExpunge FlagChange))").await;
    assert_eq!(set.untagged.len(), 1, "{set:?}");
    assert!(set.untagged[0].starts_with("* STATUS \"two\" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY "));
    assert!(set.untagged[0].contains("HIGHESTMODSEQ"));
    actor.append("two", "", "Subject: b\r\n\r\n").await;
    let told = client.response().await;
    assert!(told.starts_with("* STATUS \"two\" (") && told.contains("UIDNEXT 3 MESSAGES 2"), "{told}");
    actor.append("INBOX", "", "Subject: c\r\n\r\n").await;
    actor.ok("SELECT two").await;
    actor.ok("STORE 1 +FLAGS (\\Seen \\Deleted)").await;
    let told = client.response().await;
    assert!(told.contains("UNSEEN 1") && !told.contains("MESSAGES"), "{told}");
    actor.ok("EXPUNGE").await;
    assert!(client.response().await.contains("MESSAGES 1"));
    let quiet = client.ok("NOTIFY SET (mailboxes two (MessageNew MessageExpunge))").await;
    assert!(quiet.untagged.is_empty());
    client.ok("NOTIFY NONE").await;
    actor.append("two", "", "Subject: d\r\n\r\n").await;
    assert!(client.is_quiet().await);
    client.ok("NOOP").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_selected_mailbox_is_told_between_commands() {
    let service = Service::start().await;
    let mut actor = service.select("INBOX").await;
    let mut client = service.select("INBOX").await;
    client
        .ok("NOTIFY SET (selected (MessageNew (uid body.peek[header.fields (subject)]) MessageExpunge))")
        .await;
    actor.append("INBOX", "", "Subject: hello\r\n\r\nx").await;
    assert_eq!(client.response().await, "* 1 EXISTS");
    let mut told = client.response().await;
    if told.contains("RECENT") {
        told = client.response().await;
    }
    assert!(told.starts_with("* 1 FETCH (UID 1 ") && told.contains("Subject: hello"), "{told}");
    actor.ok("STORE 1 +FLAGS (\\Deleted)").await;
    assert!(client.response().await.contains("\\Deleted"));
    actor.ok("EXPUNGE").await;
    assert_eq!(client.response().await, "* 1 EXPUNGE");

    // Delayed: numbers stay until a command lets them change.
    client.ok("NOTIFY SET (selected-delayed (MessageNew MessageExpunge))").await;
    actor.append("INBOX", "\\Deleted", "Subject: more\r\n\r\nx").await;
    assert_eq!(client.response().await, "* 1 EXISTS");
    actor.ok("EXPUNGE").await;
    assert!(client.ok("NOOP").await.of("EXPUNGE").len() == 1);

    client.bad("NOTIFY SET (selected (MessageNew))").await;
    client.bad("NOTIFY SET (selected (FlagChange))").await;
    client.bad("NOTIFY SET (selected (MailboxName))").await;
    client.bad("NOTIFY SET (personal (MessageNew (uid) MessageExpunge))").await;
    let unknown = client.no("NOTIFY SET (personal (AnnotationChange MessageNew MessageExpunge))").await;
    assert!(unknown.tagged.contains("[BADEVENT (MessageNew MessageExpunge FlagChange"), "{unknown:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_subscriptions_and_annotations_are_told() {
    let service = Service::start().await;
    service.add_account("bob@example.test").await;
    let mut alice = service.login().await;
    let mut client = service.login_as("bob@example.test").await;
    let mut bob = service.login_as("bob@example.test").await;
    client
        .ok("NOTIFY SET (personal (MailboxName SubscriptionChange MailboxMetadataChange ServerMetadataChange)) \
             (subtree \"Other Users\" (MailboxName))")
        .await;
    bob.ok("CREATE new").await;
    assert_eq!(client.response().await, "* LIST (\\HasNoChildren) \"/\" \"new\"");
    bob.ok("SUBSCRIBE new").await;
    assert_eq!(client.response().await, "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"new\"");
    bob.ok("SETMETADATA new (/private/comment \"x\")").await;
    assert_eq!(client.response().await, "* METADATA \"new\" /private/comment");
    bob.ok("SETMETADATA \"\" (/private/comment \"x\")").await;
    assert_eq!(client.response().await, "* METADATA \"\" /private/comment");
    bob.ok("RENAME new newer").await;
    assert_eq!(client.response().await, "* LIST (\\HasNoChildren) \"/\" \"newer\" (\"OLDNAME\" (\"new\"))");
    bob.ok("DELETE newer").await;
    assert_eq!(client.response().await, "* LIST (\\NonExistent) \"/\" \"newer\"");
    // A right that is given and taken is a mailbox that comes and goes.
    let shared = "\"Other Users/alice@example.test/Drafts\"";
    alice.ok("SETACL Drafts bob lr").await;
    let told = [client.response().await, client.response().await];
    assert!(told.iter().any(|line| line == &format!("* LIST (\\HasNoChildren) \"/\" {shared}")), "{told:?}");
    alice.ok("DELETEACL Drafts bob").await;
    let told = [client.response().await, client.response().await];
    assert!(told.iter().any(|line| line == &format!("* LIST (\\NonExistent) \"/\" {shared}")), "{told:?}");
    // What this session does itself it knows already.
    client.ok("CREATE own").await;
    assert!(client.is_quiet().await);
}
