//! What a client is told, in its language (LANG, RFC 6856 3).

/// A language.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Language {
    /// English, the default.
    #[default]
    English,
    /// Chinese in simplified characters.
    SimplifiedChinese,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::English, Self::SimplifiedChinese];

    /// Its tag (RFC 5646).
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::SimplifiedChinese => "zh-Hans",
        }
    }

    /// Its name in itself.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::SimplifiedChinese => "\u{7b80}\u{4f53}\u{4e2d}\u{6587}",
        }
    }

    /// The language for a tag, by lookup (RFC 4647 3.4): parts are dropped from the end until one is
    /// known. `*` is the default.
    pub(crate) fn find(tag: &str) -> Option<Self> {
        let mut range = tag.to_ascii_lowercase();
        loop {
            match range.as_str() {
                "*" | "en" | "i-default" => return Some(Self::English),
                // Where a region is given instead of the script, it decides it.
                "zh" | "zh-hans" | "zh-cn" | "zh-sg" | "cmn" | "cmn-hans" => {
                    return Some(Self::SimplifiedChinese);
                }
                // Traditional characters are another script.
                "zh-hant" | "zh-tw" | "zh-hk" | "zh-mo" | "cmn-hant" => return None,
                _ => range.truncate(range.rfind('-')?),
            }
        }
    }
}

/// Declares each text once, in both languages.
macro_rules! texts {
    ($($name:ident: $english:literal, $chinese:literal;)*) => {
        /// A text for people. Response codes and numbers are put in front by the session.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Text {
            $(#[doc = $english] $name,)*
        }

        impl Text {
            /// The text in a language.
            pub fn say(self, language: Language) -> &'static str {
                match (self, language) {
                    $((Self::$name, Language::English) => $english,
                    (Self::$name, Language::SimplifiedChinese) => $chinese,)*
                }
            }
        }
    };
}

texts! {
    AlreadyIn: "You are logged in already", "您已经登录";
    Argument: "The argument is not understood", "无法识别该参数";
    BadCredentials: "User name or password is wrong", "用户名或密码错误";
    BeginTls: "Begin TLS", "请开始 TLS";
    BeginTlsFirst: "Begin TLS first", "请先启用 TLS";
    Bye: "Bye", "再见";
    Capabilities: "What is here", "功能列表如下";
    Deleted: "It goes at QUIT", "将在 QUIT 时删除";
    Disabled: "This account may not be used; ask the administrator", "此帐户已停用，请联系管理员";
    GivenUp: "Authentication was given up", "已取消身份验证";
    Gone: "The message was removed by another session", "该邮件已被其他会话删除";
    Here: "Here", "在线";
    InUse: "Another session has the mailbox open", "邮箱正被其他会话使用";
    LanguageChanged: "The language is English", "语言已切换为简体中文";
    LanguageList: "These languages are spoken", "支持以下语言";
    LanguageUnknown: "That language is not spoken here", "不支持该语言";
    LogInFirst: "Log in first", "请先登录";
    Messages: "messages", "封邮件";
    NoMechanism: "That mechanism is not offered", "不支持该验证机制";
    NoMessage: "There is no such message", "没有该邮件";
    NotAllowed: "This account may not use POP3; ask the administrator", "此帐户不允许使用 POP3，请联系管理员";
    NotBound: "The response is not bound to this connection", "响应未绑定到此连接";
    NothingDeleted: "Nothing is deleted", "已取消所有删除标记";
    NotRemoved: "The deleted messages could not be removed", "无法删除所标记的邮件";
    NowPassword: "Now the password", "请输入密码";
    Octets: "octets", "字节";
    OtherUser: "Nobody may act for another user", "不允许代表其他用户登录";
    Response: "The response is not understood", "无法识别该响应";
    Silent: "Silent for too long, closing", "长时间无操作，连接关闭";
    Stopping: "The service is stopping, try again at once", "服务正在停止，请立即重试";
    TakenOver: "Another session took the mailbox over", "邮箱已被其他会话接管";
    TlsNotNow: "TLS cannot begin now", "现在不能启用 TLS";
    TooLong: "The line is too long", "该行过长";
    TooManyErrors: "Too many errors, closing", "错误过多，连接关闭";
    TooManyFailures: "Too many failed attempts, closing", "失败次数过多，连接关闭";
    Unavailable: "That is not possible now, try again later", "暂时无法完成，请稍后重试";
    Unknown: "That command is not known here", "未知命令";
    UserFirst: "Send USER first", "请先发送 USER";
    Utf8NotNow: "UTF8 comes before the login", "UTF8 须在登录前发送";
    Utf8On: "UTF8 is on", "已启用 UTF8";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_by_lookup() {
        for (tag, want) in [
            ("en", Some(Language::English)),
            ("EN-gb", Some(Language::English)),
            ("*", Some(Language::English)),
            ("zh", Some(Language::SimplifiedChinese)),
            ("zh-Hans-CN", Some(Language::SimplifiedChinese)),
            ("zh-SG", Some(Language::SimplifiedChinese)),
            ("zh-TW", None),
            ("zh-Hant-HK", None),
            ("fr", None),
            ("", None),
            ("-", None),
        ] {
            assert_eq!(Language::find(tag), want, "{tag}");
        }
    }
}
