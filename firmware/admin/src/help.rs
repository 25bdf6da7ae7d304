//! Help in Chinese, and wrong words explained in both languages.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::language::Language;
use crate::text::Text;

/// Layout of the help page, with room for the translated headings.
const TEMPLATE: &str = "{about-with-newline}\n{usage-heading} {usage}\n\n{all-args}{after-help}";

/// Chinese help: path of the command, a slash and the argument's id where it is one's, and the text.
/// The English is in the words' own definition.
const CHINESE: &[(&str, &str)] = &[
    ("", "查看、操作本机及其邮件"),
    ("/json", "输出一行 JSON，供程序使用"),
    ("/language", "回答所用的语言：en 或 zh"),
    ("/socket", "邮件服务的管理套接字"),
    ("/data", "twinmail serve 的数据目录；套接字为其中的 mail.sock"),
    ("status", "显示两台机器、谁是主用、三条心跳线路和告警"),
    ("/service_group", "机对有两个服务组时：所指的服务组，mail 或 mail-2"),
    ("service-group", "服务组：在两台机器之间整体移动的单位"),
    ("service-group list", "显示服务组及本机对每个组的角色"),
    ("service-group luns", "显示本机可见的 LUN"),
    ("service-group add", "添加第二个服务组：每台机器可各服务一个，任一台可承担两个"),
    ("service-group add/lun", "服务组的 LUN，名称见 service-group luns"),
    ("service-group add/addresses", "虚拟地址及前缀长度，以逗号分隔"),
    ("service-group add/first_domain", "第一个邮件域名"),
    ("service-group add/preferred", "应承担此组的机器"),
    ("service-group add/fail_back", "该机器恢复正常后自动切回"),
    ("service-group add/format", "LUN 上的一切都可丢弃：清空并格式化"),
    ("switch-over", "把邮件服务交给对方机器，或取到本机"),
    ("switch-over/to", "切换后应为主用的机器 [默认：当前非主用的一台]"),
    ("maintenance", "使本机退出服务，或恢复服务"),
    ("maintenance/state", "on：交出服务且不接管；off：恢复服务"),
    ("prefer", "设定由哪台机器优先承担邮件服务"),
    ("prefer/owner", "机器名，或 none"),
    ("prefer/fail_back", "该机器恢复正常后自动切回"),
    ("records", "显示作过的决定、原因和各阶段耗时"),
    ("records/records_max", "最新的多少条；默认 50"),
    ("log", "显示全部服务的日志"),
    ("log/lines_max", "最新的多少行；默认 100"),
    ("log/after", "只显示此编号之后的行"),
    ("services", "显示本机的服务"),
    ("domain", "邮件域名"),
    ("domain add", "添加域名"),
    ("domain add/domain", "域名，例如 example.com"),
    ("domain remove", "删除没有账户的域名"),
    ("domain remove/domain", "域名"),
    ("domain list", "列出域名"),
    ("domain show", "显示域名及其设置"),
    ("domain show/domain", "域名"),
    ("domain set", "更改域名的设置"),
    ("domain set/domain", "域名"),
    ("domain set/enabled", "on：启用；off：不收信、不能登录"),
    ("domain set/space", "全部用户合计可用空间，例如 500G，或 none"),
    ("domain set/users", "可有的用户数，none 为不限"),
    ("domain set/protocols", "用户可用的协议：all、none 或 smtp,imap,pop3,webmail 中的若干"),
    ("domain set/plus", "on：user+detail@ 投给 user@，有同名文件夹则放入其中"),
    ("domain set/catch_all", "接收未知用户邮件的地址，或 none 拒收"),
    ("domain set/mail_language", "通知的语言：en、zh 或 default"),
    ("domain set/user_space", "用户默认值：空间"),
    ("domain set/user_messages", "用户默认值：邮件封数"),
    ("domain set/user_largest_message", "用户默认值：接收的单封邮件大小"),
    ("domain set/user_largest_attachment", "用户默认值：接收的单个附件大小"),
    ("domain set/user_messages_hour", "用户默认值：每小时发信数"),
    ("domain set/user_messages_day", "用户默认值：每天发信数"),
    ("domain set/user_recipients_hour", "用户默认值：每小时收件人数"),
    ("domain set/user_recipients_day", "用户默认值：每天收件人数"),
    ("domain set/messages_hour", "全部用户合计每小时发信数，none 为不限"),
    ("domain set/messages_day", "全部用户合计每天发信数，none 为不限"),
    ("domain set/recipients_hour", "全部用户合计每小时收件人数，none 为不限"),
    ("domain set/recipients_day", "全部用户合计每天收件人数，none 为不限"),
    ("user", "邮件用户"),
    ("user add", "添加用户"),
    ("user remove", "删除用户及其邮件"),
    ("user list", "列出用户"),
    ("user list/prefix", "只列以此开头的地址"),
    ("user show", "显示用户的设置和有效限制"),
    ("user set", "更改用户的设置"),
    ("user password", "更改用户密码"),
    ("user quota", "更改用户可用空间"),
    ("user quota/quota", "例如 500M 或 2G，或 none"),
    ("user forward", "转发用户的邮件；不给地址则停止转发"),
    ("user forward/targets", "邮件转到哪里"),
    ("user forward/keep", "on：保留副本；off：只转发"),
    ("user import", "从 CSV 文件建立用户；各列见用户管理文档"),
    ("user import/file", "文件，UTF-8 或 GB18030 编码"),
    ("user import/update", "更改已有的用户；否则保持原样"),
    ("user import/dry_run", "只说明将做什么"),
    ("user export", "以可再导入的 CSV 输出用户，含密码记录"),
    ("group", "群组：一个地址对应多人"),
    ("group add", "添加群组"),
    ("group add/members", "成员"),
    ("group remove", "删除群组"),
    ("group list", "列出群组"),
    ("group show", "显示群组及其成员"),
    ("group set", "更改群组的设置"),
    ("group add/name", "显示名称"),
    ("group set/name", "显示名称"),
    ("group join", "添加成员：用户、群组或外部地址"),
    ("group join/members", "加入者"),
    ("group leave", "删除成员"),
    ("group leave/members", "离开者"),
    ("group allow", "添加总可向其发信的发件人：地址或 @域名"),
    ("group allow/senders", "谁可以"),
    ("group forbid", "删除这类发件人"),
    ("group forbid/senders", "谁不再可以"),
    ("alias", "别名：转到其他地址的地址"),
    ("alias add", "为别名添加一个目标"),
    ("alias add/target", "邮件转到哪里"),
    ("alias remove", "删除别名，或它的一个目标"),
    ("alias remove/target", "只删除此目标"),
    ("alias list", "列出别名"),
    ("app-password", "应用密码：每个设备或程序一个"),
    ("app-password add", "生成应用密码并显示这一次"),
    ("app-password add/name", "名称，例如 phone"),
    ("app-password remove", "撤销应用密码"),
    ("app-password remove/name", "名称"),
    ("app-password list", "列出用户的应用密码"),
    ("defaults", "域名没有设定时用户的限制"),
    ("defaults show", "显示"),
    ("defaults set", "更改"),
    ("/address", "完整地址"),
    ("/domain", "只限此域名"),
    ("/after", "只列此项之后的"),
    ("/limit", "最多多少项；默认 1000"),
    ("/password", "密码本身（他人可能在进程列表中看到）"),
    ("/password_stdin", "从标准输入读取一行作为密码"),
    ("/name", "用户的显示名称"),
    ("/enabled", "on：启用；off：不收信、不能登录"),
    ("/protocols", "用户可用的协议：all、none 或 smtp,imap,pop3,webmail 中的若干"),
    ("/mail_language", "通知的语言：en、zh 或 default"),
    ("/who", "谁可发信：anyone、members、domain（本域名用户）或 named"),
    ("/space", "空间，例如 2G，或 none，或 default"),
    ("/messages", "邮件封数"),
    ("/largest_message", "接收的单封邮件大小"),
    ("/largest_attachment", "接收的单个附件大小"),
    ("/messages_hour", "每小时发信数"),
    ("/messages_day", "每天发信数"),
    ("/recipients_hour", "每小时收件人数"),
    ("/recipients_day", "每天收件人数"),
    ("queue", "待发邮件"),
    ("queue list", "列出等待发出的邮件"),
    ("queue list/sender", "发件人的一部分；\"\" 表示通知"),
    ("queue list/recipient", "收件人的一部分"),
    ("queue list/destination", "发往的域名"),
    ("queue list/held", "只列被扣留的"),
    ("queue list/after", "从此编号之后继续"),
    ("queue list/limit", "最多多少个；默认 200"),
    ("queue show", "显示一封邮件的全部情况：信封、尝试、信头"),
    ("queue show/id", "邮件编号"),
    ("queue hold", "扣留邮件，直到放行"),
    ("queue hold/ids", "邮件编号"),
    ("queue hold/sender", "发件人的一部分；\"\" 表示通知"),
    ("queue hold/recipient", "收件人的一部分"),
    ("queue hold/destination", "发往的域名"),
    ("queue hold/all", "全部邮件"),
    ("queue release", "放行被扣留的邮件"),
    ("queue release/ids", "邮件编号"),
    ("queue release/sender", "发件人的一部分；\"\" 表示通知"),
    ("queue release/recipient", "收件人的一部分"),
    ("queue release/destination", "发往的域名"),
    ("queue release/all", "全部邮件"),
    ("queue retry", "立即重试邮件；未指明则为全部"),
    ("queue retry/ids", "邮件编号"),
    ("queue retry/sender", "发件人的一部分；\"\" 表示通知"),
    ("queue retry/recipient", "收件人的一部分"),
    ("queue retry/destination", "发往的域名"),
    ("queue retry/all", "全部邮件"),
    ("queue drop", "放弃邮件并通知发件人"),
    ("queue drop/ids", "邮件编号"),
    ("queue drop/sender", "发件人的一部分；\"\" 表示通知"),
    ("queue drop/recipient", "收件人的一部分"),
    ("queue drop/destination", "发往的域名"),
    ("queue drop/all", "全部邮件"),
    ("queue drop/silent", "不通知任何人"),
    ("queue pause", "停止所有外发邮件"),
    ("queue resume", "恢复外发邮件"),
    ("domain dkim", "显示域名的 DNS 记录及其密钥；首次使用时生成密钥"),
    ("domain dkim/domain", "域名"),
    ("domain dkim/rotate", "生成新密钥，启用后用于签名"),
    ("domain dkim/activate", "从现在起用最新密钥签名"),
    ("domain dkim/remove", "删除此选择器的密钥"),
    ("smarthost", "承接全部外发邮件的服务器"),
    ("smarthost set", "全部外发邮件经由此服务器"),
    ("smarthost set/host", "主机或 主机:端口"),
    ("smarthost set/user", "在该服务器上的用户名"),
    ("smarthost clear", "外发邮件恢复直接投递"),
    ("receiving", "谁可以送来邮件，如何处理不可信的邮件"),
    ("receiving show", "显示当前规定"),
    ("receiving set", "更改规定"),
    ("receiving set/proxy_from", "使用 PROXY 协议的负载均衡器：以逗号分隔的地址和网段，或 none"),
    ("receiving set/lmtp_from", "可经 LMTP 投递的服务器：以逗号分隔的地址和网段，或 none"),
    ("receiving set/dmarc", "如何处理未通过 DMARC 的邮件：honour、junk 或 record"),
    ("health", "询问邮件服务是否正常"),
    ("counters", "显示邮件服务启动以来的计数"),
    ("store", "邮件存储"),
    ("store check", "对照正文检查全部索引；耗时较长"),
    ("store index", "全文索引的进度"),
    ("store index/rebuild", "在后台重建；完成之前搜索逐封读取邮件"),
    ("alarm", "告警通知谁"),
    ("alarm list", "显示当前告警，以及通知的去向"),
    ("alarm test", "向所有去向发送一次测试"),
    ("alarm set", "更改告警的去向"),
    ("alarm set/mail", "以逗号分隔的邮件地址，或 none"),
    ("alarm set/syslog", "syslog 服务器：以逗号分隔的 udp://、tcp:// 或 tls:// 地址，或 none"),
    ("alarm set/webhook", "以逗号分隔的 http:// 或 https:// 地址，或 none"),
    ("alarm set/words_in", "通知所用的语言：en 或 zh"),
    ("peer", "对方机器：已损坏并将更换时，忘记它"),
    ("peer forget", "永久忘记对方机器，使空白机器可以加入取代它"),
    ("peer forget/yes", "确定如此：此后旧机器被拒之门外"),
    ("fence", "管理控制器（BMC，IPMI 2.0）：复位停滞的机器"),
    ("fence show", "显示管理控制器及最近一次查询的结果"),
    ("fence set", "对方机器接管之后，由此控制器复位该机器"),
    ("fence set/of", "此控制器所能复位的机器"),
    ("fence set/address", "控制器的地址"),
    ("fence set/port", "控制器的 UDP 端口，默认 623"),
    ("fence set/user", "控制器上具有 Operator 权限的用户"),
    ("fence test", "登录并查询电源状态；不作任何更改"),
    ("fence test/of", "机器名 [默认：所有已设控制器的机器]"),
    ("fence clear", "不再使用该机器的控制器"),
    ("fence clear/of", "机器名"),
    ("metrics", "供 Prometheus 读取的数值"),
    ("metrics show", "显示其位置以及谁可读取"),
    ("metrics set", "更改该设置"),
    ("metrics set/port", "各机器自身地址上的 TCP 端口，通常为 9464；0 为关闭"),
    ("metrics set/networks", "可读取的地址和网段，以逗号分隔；none 为不限"),
    ("drill", "演练：切换过去再切换回来并测量，或故意使一个服务出故障"),
    ("drill now", "现在切换过去再切换回来，测量客户端等待的时间"),
    ("drill schedule", "按 UTC 时间自动演练：sun 03:30、daily 03:30 或 off"),
    ("drill schedule/time", "星期和时间，或 off"),
    ("drill report", "显示正在进行的操作，或上次演练、滚动重启的结果"),
    ("drill kill", "立即结束服务，如同崩溃"),
    ("drill kill/service", "服务名，见 services"),
    ("drill hang", "使服务停住不动，如同死循环"),
    ("drill hang/service", "服务名，见 services"),
    ("drill exhaust", "使服务耗尽内存"),
    ("drill exhaust/service", "服务名，见 services"),
    ("drill refuse", "使邮件服务拒收所有邮件，如同内部出错"),
    ("drill refuse/service", "服务名，见 services"),
    ("clock", "本机时钟，邮件和记录的日期由它而来"),
    ("clock show", "显示时钟的时间"),
    ("clock set", "设定时钟，硬件时钟一并设定；每台机器各有自己的时钟"),
    ("clock set/time", "UTC 时间，例如 2026-03-01T12:00:00Z"),
    ("power", "关闭或重启本机"),
    ("power off", "依次停止服务，然后关机"),
    ("power restart", "依次停止服务，然后重启"),
    ("factory-reset", "忘记本机全部设置，作为空白机器重新启动；邮件和帐户留在阵列上"),
    ("factory-reset/yes", "确定如此：本机须重新设置"),
    ("power rolling", "两台机器先后重启，期间邮件服务不中断"),
];

fn chinese(key: &str) -> Option<&'static str> {
    CHINESE.iter().find(|(known, _)| *known == key).map(|(_, text)| *text)
}

/// `help account add` means `account add --help`.
pub fn asked(words: &[String]) -> Vec<String> {
    match words.split_first() {
        Some((first, rest)) if first == "help" => rest.iter().cloned().chain(["--help".to_owned()]).collect(),
        _ => words.to_vec(),
    }
}

/// The whole tree of commands with its help in `language`.
pub fn translate(command: clap::Command, language: Language) -> clap::Command {
    let command = command.after_help(Text::HelpCommand.get(language));
    match language {
        Language::En => command,
        Language::Zh => translate_command(command, ""),
    }
}

fn translate_command(command: clap::Command, path: &str) -> clap::Command {
    let language = Language::Zh;
    let mut command = command
        .help_template(TEMPLATE.replace("{usage-heading}", &format!("{}:", Text::Usage.get(language))))
        .subcommand_help_heading(Text::Commands.get(language))
        .disable_help_flag(true)
        .disable_version_flag(true);
    if let Some(about) = chinese(path) {
        command = command.about(about);
    }
    let mut command = command.mut_args(|arg| {
        let heading = if arg.is_positional() { Text::Arguments } else { Text::Options };
        let own = chinese(&format!("{path}/{}", arg.get_id()));
        let help = own.or_else(|| chinese(&format!("/{}", arg.get_id())));
        let arg = arg.help_heading(heading.get(language));
        if let Some(help) = help { arg.help(help) } else { arg }
    });
    command = command.arg(
        clap::Arg::new("help")
            .short('h')
            .long("help")
            .action(clap::ArgAction::Help)
            .help(Text::HelpOption.get(language))
            .help_heading(Text::Options.get(language)),
    );
    if path.is_empty() {
        command = command.arg(
            clap::Arg::new("version")
                .short('V')
                .long("version")
                .action(clap::ArgAction::Version)
                .help(Text::VersionOption.get(language))
                .help_heading(Text::Options.get(language)),
        );
    }
    let names: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    for name in names {
        let path = if path.is_empty() { name.clone() } else { format!("{path} {name}") };
        command = command.mut_subcommand(name, |sub| translate_command(sub, &path));
    }
    command
}

/// One sentence about wrong words.
pub fn usage_sentence(error: &clap::Error, language: Language) -> String {
    let of = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        // Of several suggestions the last is the nearest.
        Some(ContextValue::Strings(texts)) => texts.last().cloned().unwrap_or_default(),
        Some(ContextValue::StyledStr(text)) => text.to_string(),
        _ => String::new(),
    };
    let argument = of(ContextKind::InvalidArg);
    let sentence = match error.kind() {
        ErrorKind::InvalidValue | ErrorKind::ValueValidation if of(ContextKind::InvalidValue).is_empty() => {
            Text::MissingWord.fill(language, &[&argument])
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            Text::WrongValue.fill(language, &[&argument, &of(ContextKind::InvalidValue)])
        }
        ErrorKind::UnknownArgument => Text::UnknownWord.fill(language, &[&argument]),
        ErrorKind::InvalidSubcommand => {
            Text::UnknownCommand.fill(language, &[&of(ContextKind::InvalidSubcommand)])
        }
        ErrorKind::MissingRequiredArgument | ErrorKind::MissingSubcommand => {
            Text::MissingWord.fill(language, &[&argument])
        }
        ErrorKind::ArgumentConflict => {
            Text::NotTogether.fill(language, &[&argument, &of(ContextKind::PriorArg)])
        }
        _ => Text::WrongWords.get(language).to_owned(),
    };
    let suggestion =
        [ContextKind::SuggestedSubcommand, ContextKind::SuggestedArg, ContextKind::SuggestedValue]
            .into_iter()
            .map(of)
            .find(|text| !text.is_empty());
    match suggestion {
        Some(word) => sentence + &Text::DidYouMean.fill(language, &[&word]),
        None => sentence,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{Args, CommandFactory};

    use super::*;
    use crate::words::{Line, Place};

    fn keys(command: &clap::Command, path: &str, found: &mut BTreeSet<String>) {
        found.insert(path.to_owned());
        for arg in command.get_arguments().filter(|arg| !matches!(arg.get_id().as_str(), "help" | "version"))
        {
            assert!(arg.get_help().is_some(), "{path}/{} has no help", arg.get_id());
            found.insert(format!("{path}/{}", arg.get_id()));
        }
        for sub in command.get_subcommands() {
            assert!(sub.get_about().is_some(), "{} has no help", sub.get_name());
            let path = if path.is_empty() {
                sub.get_name().to_owned()
            } else {
                format!("{path} {}", sub.get_name())
            };
            keys(sub, &path, found);
        }
    }

    #[test]
    fn every_command_and_argument_has_help_in_both_languages() {
        let mut found = BTreeSet::new();
        keys(&Place::augment_args(Line::command()), "", &mut found);
        // An argument has its own text, or that of all arguments of its name.
        let of_all = |key: &String| key.find('/').map(|at| key[at..].to_owned());
        let translated: BTreeSet<_> = CHINESE.iter().map(|(key, _)| (*key).to_owned()).collect();
        let has_text = |key: &String| {
            translated.contains(key) || of_all(key).is_some_and(|of_all| translated.contains(&of_all))
        };
        let missing: Vec<_> = found.iter().filter(|key| !has_text(key)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        let used: BTreeSet<_> = found.iter().cloned().chain(found.iter().filter_map(of_all)).collect();
        let stale: Vec<_> = translated.difference(&used).collect();
        assert!(stale.is_empty(), "{stale:?}");
    }

    #[test]
    fn a_wrong_word_is_explained_in_the_administrators_language() {
        let words = ["acount".to_owned(), "list".to_owned()];
        let en = Line::parse(&words, Language::En).unwrap_err().sentence(Language::En);
        assert_eq!(en, "there is no command acount; `help` lists the commands (did you mean account?)");
        let zh = Line::parse(&words, Language::Zh).unwrap_err().sentence(Language::Zh);
        assert_eq!(zh, "没有命令 acount；用 help 列出全部命令（是否要输入 account？）");
    }

    #[test]
    fn chinese_help_has_no_english_headings() {
        for words in [vec!["--help"], vec!["account", "add", "--help"], vec!["account"]] {
            let words: Vec<_> = words.into_iter().map(str::to_owned).collect();
            let text = Line::parse(&words, Language::Zh).unwrap_err().sentence(Language::Zh);
            assert!(text.contains("用法:") && text.contains("选项:"), "{text}");
            for word in ["Usage", "Options", "Commands", "Arguments", "Print", "password itself"] {
                assert!(!text.contains(word), "{word} in {text}");
            }
        }
    }
}
