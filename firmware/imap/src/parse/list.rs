//! LIST with its options (RFC 3501 section 6.3.8, RFC 5258, RFC 5819, RFC 6154) and STATUS items.

use super::Fault;
use super::cursor::Cursor;

/// Most patterns in one LIST.
const PATTERNS_MAX: usize = 64;
/// Most options in one list of options.
const OPTIONS_MAX: usize = 64;

/// Which mailboxes LIST looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListSelection {
    /// Subscribed names, whether they exist or not.
    Subscribed,
    /// Mailboxes on other servers too; there are none here.
    Remote,
    /// Also parents of what matches.
    RecursiveMatch,
    /// Mailboxes with a special use.
    SpecialUse,
}

/// What LIST tells of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListReturn {
    /// `\Subscribed`
    Subscribed,
    /// `\HasChildren` and `\HasNoChildren`
    Children,
    /// Special uses.
    SpecialUse,
    /// A MYRIGHTS response for each (RFC 8440).
    MyRights,
    /// A METADATA response with these entries for each (RFC 9590).
    Metadata(Vec<String>),
    /// A STATUS response for each (RFC 5819).
    Status(Vec<StatusItem>),
}

/// LIST.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// Selection options; none for a plain LIST.
    pub selections: Vec<ListSelection>,
    /// Reference name.
    pub reference: String,
    /// Names with wildcards.
    pub patterns: Vec<String>,
    /// Return options.
    pub returns: Vec<ListReturn>,
    /// Whether any part of RFC 5258's syntax was used.
    pub extended: bool,
}

/// What STATUS can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusItem {
    /// `MESSAGES`
    Messages,
    /// `RECENT`
    Recent,
    /// `UIDNEXT`
    UidNext,
    /// `UIDVALIDITY`
    UidValidity,
    /// `UNSEEN`
    Unseen,
    /// `HIGHESTMODSEQ` (RFC 7162)
    HighestModSeq,
    /// `SIZE` (RFC 8438)
    Size,
    /// `APPENDLIMIT` (RFC 7889)
    AppendLimit,
    /// `DELETED` (RFC 9208)
    Deleted,
    /// `DELETED-STORAGE` (RFC 9208)
    DeletedStorage,
    /// `MAILBOXID` (RFC 8474)
    MailboxId,
}

impl Cursor<'_> {
    /// The arguments of LIST, after its first space.
    pub fn list_request(&mut self) -> Result<ListRequest, Fault> {
        let mut request = ListRequest::default();
        if self.peek() == Some(b'(') {
            request.extended = true;
            self.options(|cursor| {
                request.selections.push(cursor.list_selection()?);
                Ok(())
            })?;
            self.space()?;
        }
        request.reference = self.list_mailbox()?;
        self.space()?;
        if self.take(b'(') {
            request.extended = true;
            loop {
                if request.patterns.len() == PATTERNS_MAX {
                    return Err(Fault::Syntax("too many mailbox patterns"));
                }
                request.patterns.push(self.list_mailbox()?);
                if self.take(b')') {
                    break;
                }
                self.expect(b' ', "the list of mailbox patterns is not closed")?;
            }
        } else {
            request.patterns.push(self.list_mailbox()?);
        }
        if !self.is_at_end() {
            self.space()?;
            if !self.take_word("RETURN") {
                return Err(Fault::Syntax("RETURN is expected after the mailbox pattern"));
            }
            request.extended = true;
            self.space()?;
            self.options(|cursor| {
                request.returns.push(cursor.list_return()?);
                Ok(())
            })?;
        }
        let recursive = request.selections.contains(&ListSelection::RecursiveMatch);
        let has_base = request.selections.contains(&ListSelection::Subscribed)
            || request.selections.contains(&ListSelection::SpecialUse);
        if recursive && !has_base {
            return Err(Fault::Syntax("RECURSIVEMATCH needs SUBSCRIBED or SPECIAL-USE beside it"));
        }
        Ok(request)
    }

    /// `(`, options with spaces between them or none, `)`.
    pub fn options(&mut self, mut option: impl FnMut(&mut Self) -> Result<(), Fault>) -> Result<(), Fault> {
        self.expect(b'(', "a list of options is missing")?;
        if self.take(b')') {
            return Ok(());
        }
        for _ in 0..OPTIONS_MAX {
            option(self)?;
            if self.take(b')') {
                return Ok(());
            }
            self.expect(b' ', "a list of options is not closed")?;
        }
        Err(Fault::Syntax("too many options"))
    }

    fn list_selection(&mut self) -> Result<ListSelection, Fault> {
        match self.atom()?.to_ascii_uppercase().as_str() {
            "SUBSCRIBED" => Ok(ListSelection::Subscribed),
            "REMOTE" => Ok(ListSelection::Remote),
            "RECURSIVEMATCH" => Ok(ListSelection::RecursiveMatch),
            "SPECIAL-USE" => Ok(ListSelection::SpecialUse),
            _ => Err(Fault::Syntax("no such selection option of LIST")),
        }
    }

    fn list_return(&mut self) -> Result<ListReturn, Fault> {
        match self.atom()?.to_ascii_uppercase().as_str() {
            "SUBSCRIBED" => Ok(ListReturn::Subscribed),
            "CHILDREN" => Ok(ListReturn::Children),
            "SPECIAL-USE" => Ok(ListReturn::SpecialUse),
            "MYRIGHTS" => Ok(ListReturn::MyRights),
            "METADATA" => {
                self.space()?;
                self.entry_names().map(ListReturn::Metadata)
            }
            "STATUS" => {
                self.space()?;
                self.status_items().map(ListReturn::Status)
            }
            _ => Err(Fault::Syntax("no such return option of LIST")),
        }
    }

    /// `(` STATUS items `)`; at least one.
    pub fn status_items(&mut self) -> Result<Vec<StatusItem>, Fault> {
        let mut items = Vec::new();
        self.options(|cursor| {
            items.push(match cursor.atom()?.to_ascii_uppercase().as_str() {
                "MESSAGES" => StatusItem::Messages,
                "RECENT" => StatusItem::Recent,
                "UIDNEXT" => StatusItem::UidNext,
                "UIDVALIDITY" => StatusItem::UidValidity,
                "UNSEEN" => StatusItem::Unseen,
                "HIGHESTMODSEQ" => StatusItem::HighestModSeq,
                "SIZE" => StatusItem::Size,
                "APPENDLIMIT" => StatusItem::AppendLimit,
                "DELETED" => StatusItem::Deleted,
                "DELETED-STORAGE" => StatusItem::DeletedStorage,
                "MAILBOXID" => StatusItem::MailboxId,
                _ => return Err(Fault::Syntax("no such item of STATUS")),
            });
            Ok(())
        })?;
        if items.is_empty() { Err(Fault::Syntax("STATUS asks for nothing")) } else { Ok(items) }
    }
}
