//! What first set-up says, in both languages. The English prompts are a fixed interface; see the
//! page of the module `wizard`.

use admin::{Language, catalogue};
use settings::{BOX_NAME_MAX, SettingsError};

/// The very first question, in both languages at once.
pub const LANGUAGE_PROMPT: &str = "Language / 语言 (1 English, 2 中文): ";

catalogue! {
    /// What first set-up says.
    Text {
        Error = "error: ", "错误：";
        Yes = "yes", "是 (yes)";
        No = "no", "否 (no)";
        Intro = "First set-up of this box: six questions. Enter takes the answer in brackets,\n\"back\" goes one question back, Ctrl-C starts again.",
            "本机首次设置：共六个问题。回车采用方括号中的答案，\n输入 back 返回上一问题，Ctrl-C 重新开始。";
        JoinIntro = "The box \"{0}\" was found on the serial cable. This box joins it; everything\nbut the two answers below comes from there. Type \"first\" to set up a new pair instead.",
            "在串行线上发现机器“{0}”。本机将加入它；除下面两个答案外，\n其余一切都来自对方。如要另建一对新机器，请输入 first。";
        OfferNotice = "The box \"{0}\" was found on the serial cable. Type \"join\" to join it instead.",
            "在串行线上发现机器“{0}”。输入 join 可改为加入它。";
        NoOffer = "no configured box is on the serial cable now", "目前串行线上没有已设置的机器";

        NamePrompt = "[1/6] Box name", "[1/6] 机器名称";
        PublicPrompt = "[2/6] Public address", "[2/6] 公网地址";
        GatewayPrompt = "[2/6] Gateway", "[2/6] 网关";
        NameServerPrompt = "[2/6] Name server", "[2/6] 域名服务器";
        VirtualPrompt = "[3/6] Virtual address", "[3/6] 虚拟地址";
        LunPrompt = "[4/6] LUN", "[4/6] LUN";
        LunNonePrompt = "[4/6] LUN (none usable, Enter looks again)", "[4/6] LUN（没有可用的，回车重新查找）";
        FormatPrompt = "[4/6] Type FORMAT to format it", "[4/6] 输入 FORMAT 进行格式化";
        KeepPrompt = "[4/6] Take it over with the mail on it (yes or no)", "[4/6] 连同其中的邮件一起接管（yes 或 no）";
        DomainPrompt = "[5/6] Mail domain", "[5/6] 邮件域名";
        PasswordPrompt = "[6/6] Administrator's password", "[6/6] 管理员密码";
        PasswordAgainPrompt = "[6/6] Password again", "[6/6] 再次输入密码";
        ApplyPrompt = "Apply these settings, or 1 to 6 to change an answer", "应用这些设置，或输入 1 至 6 修改答案";
        JoinNamePrompt = "[1/2] Box name", "[1/2] 机器名称";
        JoinPublicPrompt = "[2/2] Public address", "[2/2] 公网地址";
        JoinApplyPrompt = "Join the pair, or 1 to 2 to change an answer", "加入，或输入 1 至 2 修改答案";

        NameHelp = "1. How this box is called, on the LCD and towards the other box. The other box joins\n   over the serial cable after this one is set up.",
            "1. 本机的名称，用于 LCD 和与对方机器通信。本机设置完成后，\n   对方机器经串行线加入。";
        PublicHelp = "2. This box's own address with prefix length, such as 192.0.2.11/24; several are\n   separated by blanks.",
            "2. 本机自己的地址和前缀长度，例如 192.0.2.11/24；\n   多个地址以空格分隔。";
        GatewayHelp = "   Where packets to other networks go; none where there is no gateway.",
            "   通往其他网络的网关；没有则输入 none。";
        NameServerHelp = "   Who translates names for outgoing mail; none where there is none.",
            "   为外发邮件解析域名的服务器；没有则输入 none。";
        VirtualHelp = "3. The address that mail clients use; it moves between the boxes. Several, IPv4 and\n   IPv6, are separated by blanks.",
            "3. 邮件客户端使用的地址，会在两台机器之间移动。\n   多个 IPv4、IPv6 地址以空格分隔。";
        LunHelp = "4. The LUN on the array that holds the mail.", "4. 阵列上存放邮件的 LUN。";
        LunSearching = "   Looking at the array...", "   正在查看阵列……";
        LunNone = "no LUN was found: check the array's cables and that it presents a LUN to this box",
            "没有找到 LUN：请检查阵列连线，以及阵列是否向本机提供 LUN";
        FormatHelp = "   LUN {0} ({1}, {2}) is blank. Formatting makes it Twinmail's.", "   LUN {0}（{1}，{2}）是空白的。格式化后归 Twinmail 使用。";
        KeepHelp = "   LUN {0} already is Twinmail's, of the pair {1}. Its mail is kept, and this box\n   becomes the first of a new pair. Say no if the old pair still runs: join it over\n   the serial cable.",
            "   LUN {0} 已属于 Twinmail，机器对为 {1}。其中的邮件将保留，本机成为\n   新机器对的第一台。如果原机器对仍在运行，请回答 no，\n   并经串行线加入它。";
        DomainHelp = "5. The first mail domain; others can be added later.", "5. 第一个邮件域名；以后可以添加其他域名。";
        PasswordHelp = "6. For this console, and for the first mail account; at least 8 characters.", "6. 用于本控制台和第一个邮件账户；至少 8 个字符。";

        Column = "No", "编号";
        Model = "Model", "型号";
        Size = ">Size", ">大小";
        Content = "Content", "内容";
        ContentBlank = "blank", "空白";
        ContentTwinmail = "Twinmail, pair {0}", "Twinmail，机器对 {0}";
        ContentForeign = "other data: {0}; never touched", "其他数据：{0}；绝不改动";
        ContentUnreadable = "unreadable: {0}", "无法读取：{0}";

        Summary = "These are the answers:", "答案如下：";
        SummaryName = "1 Box name", "1 机器名称";
        SummaryPublic = "2 Public address", "2 公网地址";
        SummaryGateway = "  Gateway", "  网关";
        SummaryNameServer = "  Name server", "  域名服务器";
        SummaryVirtual = "3 Virtual address", "3 虚拟地址";
        SummaryLun = "4 LUN", "4 LUN 存储";
        SummaryDomain = "5 Mail domain", "5 邮件域名";
        SummaryPassword = "6 Password", "6 密码";
        SummaryPeer = "  Joins", "  加入";
        WillFormat = "{0}, will be formatted", "{0}，将被格式化";
        WillKeep = "{0}, its mail is kept", "{0}，保留其中的邮件";
        Hidden = "not shown", "不显示";

        Step = "Working: {0}", "正在进行：{0}";
        Still = "Still working after {0} s: {1}", "已进行 {0} 秒：{1}";
        Asked = "asking the cluster service", "请求集群服务";
        ClusterSilent = "waiting for the cluster service", "等待集群服务";
        Complete = "Set-up is complete.", "设置完成。";
        Forgotten = "the cluster service did not begin; apply again", "集群服务没有开始；请再次应用";
        TooLong = "set-up did not end in {0} s; see the log, then apply again", "设置在 {0} 秒内没有结束；请查看日志，然后再次应用";

        NotAnAnswer = "{0} is not one of the answers", "{0} 不是可选的答案";
        Needed = "an answer is needed", "需要回答";
        BadName = "{0} cannot be a box name: use 1 to {1} letters, digits and hyphens, a letter first",
            "{0} 不能作机器名称：请用 1 至 {1} 个字母、数字和连字符，以字母开头";
        NameOfPeer = "{0} is the other box's name; choose another one", "{0} 是对方机器的名称；请另选一个";
        BadAddress = "{0} is not an address with prefix length, such as 192.0.2.10/24 or 2001:db8::10/64",
            "{0} 不是带前缀长度的地址，例如 192.0.2.10/24 或 2001:db8::10/64";
        BadHost = "{0} is not an address, such as 192.0.2.1", "{0} 不是地址，例如 192.0.2.1";
        TooMany = "at most {0} can be given", "最多可以给出 {0} 个";
        Twice = "{0} is given twice", "{0} 重复了";
        VirtualIsOwn = "{0} is this box's own address; the virtual address must be another one",
            "{0} 是本机自己的地址；虚拟地址必须不同";
        BadDomain = "{0} is not a mail domain, such as example.com", "{0} 不是邮件域名，例如 example.com";
        ShortPassword = "the password needs at least 8 characters", "密码至少需要 8 个字符";
        PasswordsDiffer = "the two passwords differ; type both again", "两次输入的密码不一致；请重新输入";
        LunForeign = "LUN {0} holds other data ({1}) and is never written; choose another one, or empty it at the array",
            "LUN {0} 含有其他数据（{1}），绝不写入；请另选一个，或在阵列上清空它";
        LunUnreadable = "LUN {0} cannot be read ({1}); check the array, then look again with Enter",
            "LUN {0} 无法读取（{1}）；请检查阵列，然后按回车重新查找";
        NotFormatted = "not formatted; choose a LUN", "未格式化；请选择 LUN";
    }
}

/// A refusal of the settings in `language`.
pub fn settings_fault(error: &SettingsError, language: Language) -> String {
    match error {
        SettingsError::BoxName(name) => Text::BadName.fill(language, &[name, &BOX_NAME_MAX]),
        SettingsError::Address(text) => Text::BadAddress.fill(language, &[text]),
        SettingsError::VirtualIsOwn(address) => Text::VirtualIsOwn.fill(language, &[address]),
        SettingsError::Domain(domain) => Text::BadDomain.fill(language, &[domain]),
        SettingsError::Password => Text::ShortPassword.get(language).to_owned(),
        SettingsError::NoVirtualAddress => Text::Needed.get(language).to_owned(),
        // The wizard sets up one group only.
        SettingsError::LunTaken(_)
        | SettingsError::AddressTaken(_)
        | SettingsError::DomainTaken(_)
        | SettingsError::TooManyGroups
        | SettingsError::NoRandom => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use admin::translation_fault;

    #[test]
    fn both_languages_are_complete() {
        // The one word that is the same in every language.
        let texts = Text::ALL.iter().filter(|text| **text != Text::LunPrompt);
        let texts = texts.map(|text| (text.get(Language::En), text.get(Language::Zh)));
        let faults: Vec<_> = texts.filter_map(|(en, zh)| translation_fault(en, zh)).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }
}
