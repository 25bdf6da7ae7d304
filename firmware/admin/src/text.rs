//! Everything the commands say, in both languages.

use control::cluster::{MediumState, Role};
use control::init::ServiceState;

use crate::catalogue;
use crate::language::Language;

catalogue! {
    /// What the commands say.
    Text {
        Done = "done", "完成";
        Takeover = "Takeover", "接管";
        TakeoverGood = "would succeed, about {0} s", "会成功，约 {0} 秒";
        TakeoverUnmeasured = "would succeed; how long it takes was not measured yet", "会成功；用时尚未测量";
        TakeoverBad = "would not succeed: {0}", "不会成功：{0}";
        Controller = "Controller", "管理控制器";
        User = "User", "用户";
        Found = "Found", "结果";
        LastLook = "Last look", "最近查询";
        NoController = "none set", "未设置";
        HasPower = "it answers; the box has power", "有应答；机器已通电";
        HasNoPower = "it answers; the box has no power", "有应答；机器未通电";
        NoOperation = "none since the start of this box", "本机启动以来没有";
        UnderWay = "under way: {0}", "进行中：{0}";
        WentWell = "it went as it should", "一切正常";
        WentWrong = "it failed: {0}", "失败：{0}";
        ServedAgain = "served again by {0} after {1} ms", "{1} 毫秒后由 {0} 恢复服务";
        Error = "error: ", "错误：";
        TooManyWords = "too many words", "参数过多";
        ClusterNotRunning = "the cluster service is not running; init restarts it, try again in a few seconds",
            "集群服务未运行；init 会重新启动它，请几秒后再试";
        NoSuchGroup = "no service group is called {0}; `service-group list` names them",
            "没有名为 {0} 的服务组；名称见 service-group list";
        WhichGroup = "this pair has two service groups and it is not clear which is meant, or it is served by the other box; add --service-group mail or --service-group mail-2",
            "机对有两个服务组，不清楚所指哪一个，或者它由对方机器服务；请加上 --service-group mail 或 --service-group mail-2";
        LunBlank = "blank", "空白";
        LunOurs = "Twinmail, pair {0}", "Twinmail，机对 {0}";
        LunForeign = "other data: {0}", "其他数据：{0}";
        LunUnreadable = "cannot be read: {0}", "无法读取：{0}";
        LunHeading = "LUN", "LUN 名称";
        SizeHeading = "Size", "大小";
        ContentHeading = "Content", "内容";
        InitNotRunning = "init does not answer; this works only in a Twinmail box",
            "init 没有应答；此命令只能在 Twinmail 机箱中使用";
        MailElsewhere = "the mail service runs on {0}; give the command there",
            "邮件服务运行在 {0} 上；请在那台机器上执行此命令";
        MailNowhere = "no box serves mail now; `status` says why", "目前没有机器提供邮件服务；用 status 查看原因";
        MailNotRunning = "the mail service is not running; init restarts it, `services` and `log` say why",
            "邮件服务未运行；init 会重新启动它，用 services 和 log 查看原因";
        NoAnswer = "{0} did not answer as it should: {1}; try again, then see `log`",
            "{0} 未正常应答：{1}；请重试，然后查看 log";
        WrongKind = "{0} gave an answer of another kind; are all services of the same version?",
            "{0} 的应答类型不符；各服务的版本是否一致？";
        NoPassword = "a password is needed: give --password or --password-stdin",
            "需要密码：请使用 --password 或 --password-stdin";
        NotConfirmed =
            "the other box could then never return without being installed and set up anew; if that is meant, add --yes",
            "对方机器此后须重新安装并设置才能再加入；若确定如此，请加上 --yes";
        ResetNotConfirmed =
            "this box would forget its settings and its pair, and ask to be set up; if that is meant, add --yes",
            "本机将忘记全部设置和所属的双机，并等待重新设置；若确定如此，请加上 --yes";
        PasswordsDiffer = "the two passwords differ; nothing was changed", "两次输入的密码不一致；未作任何更改";
        PasswordUnreadable = "no password could be read: {0}", "无法读取密码：{0}";
        Faults = "the store check found {0} faults", "存储检查发现 {0} 处错误";
        NeedsFile = "users are imported from a shell on the machine where the file is, with --socket or --data",
            "请在文件所在机器的命令行中导入用户，并给出 --socket 或 --data";
        FileUnreadable = "{0} cannot be read: {1}", "无法读取 {0}：{1}";
        Unwritable = "the answer cannot be written: {0}", "无法写出结果：{0}";
        BadRows = "{0} rows were not imported", "有 {0} 行未导入";
        BadRow = "line {0}: {1}: {2}", "第 {0} 行：{1}：{2}";
        ImportProgress = "{0} rows", "已处理 {0} 行";
        ImportDone = "{0} added, {1} changed, {2} left as they were, {3} refused", "新增 {0}，更改 {1}，保持原样 {2}，拒绝 {3}";
        ImportWould = "dry run: {0} would be added, {1} changed, {2} left as they are, {3} refused",
            "试运行：将新增 {0}，更改 {1}，保持原样 {2}，拒绝 {3}";
        RowNotText = "it is not text in {0}", "不是 {0} 编码的文本";
        RowTooLong = "it is longer than {0} bytes", "超过 {0} 字节";
        RowTooManyCells = "it has {0} cells, there are {1} columns", "有 {0} 个单元格，而列数为 {1}";
        RowQuoteOpen = "a quotation mark is not closed", "引号没有结束";
        RowNoAddress = "it has no address", "缺少地址";
        RowBadCell = "{0} cannot be {1}", "{0} 不能是 {1}";
        HeaderNoAddress = "its header has no column address", "标题行没有 address 列";
        HeaderTwice = "its header has the column {0} twice", "标题行中列 {0} 出现两次";
        HeaderUnknown = "its header has an unknown column {0}", "标题行中有未知的列 {0}";
        NewAppPassword = "{0}\nThis is shown once only. It opens mail programs, not the administration.",
            "{0}\n只显示这一次。它用于邮件程序，不能用于管理。";
        MoreRows = "There may be more: add --after {0}", "可能还有更多：加 --after {0}";
        SwitchedOn = "on", "启用";
        SwitchedOff = "off", "停用";
        NameHeading = "Name", "名称";
        GroupsHeading = ">Groups", ">群组数";
        MembersHeading = ">Members", ">成员数";
        WhoHeading = "Who may send", "谁可发信";
        WhoAnyone = "anyone", "任何人";
        WhoMembers = "members", "成员";
        WhoDomain = "users of the domain", "本域名用户";
        WhoNamed = "named senders", "指定发件人";
        MaySend = "May send", "可发信";
        Member = "Member", "成员";
        Created = "Made", "创建于";
        LastUse = "Last used", "最近使用";
        ProtocolsHeading = "Protocols", "协议";
        NoProtocol = "no protocol", "无协议";
        PlusAddressing = "Plus addressing", "加号地址";
        CatchAll = "Unknown users", "未知用户的邮件";
        Refused = "refused", "拒收";
        MailLanguage = "Language", "语言";
        ByDefault = "by default", "默认";
        AllUsers = "{0}, all users", "全部用户合计{0}";
        PerUser = "{0} per user", "每用户{0}";
        ForwardTo = "Forwarded to", "转发到";
        KeepCopy = "Copy kept here", "保留副本";
        FromDefault = "{0} (default)", "{0}（默认）";
        LimitSpace = "Space", "空间";
        LimitMessages = "Messages kept", "邮件封数";
        LimitLargestMessage = "Largest message", "单封邮件大小";
        LimitLargestAttachment = "Largest attachment", "单个附件大小";
        LimitMessagesHour = "Messages an hour", "每小时发信数";
        LimitMessagesDay = "Messages a day", "每天发信数";
        LimitRecipientsHour = "Recipients an hour", "每小时收件人数";
        LimitRecipientsDay = "Recipients a day", "每天收件人数";
        PasswordPrompt = "Password: ", "密码: ";
        PasswordAgain = "Password again: ", "再次输入密码: ";
        EmptyPassword = "the line is empty", "该行为空";

        WrongValue = "{0} cannot be {1}", "{0} 不能是 {1}";
        UnknownWord = "{0} is not a word of this command; add --help to see its words",
            "{0} 不是此命令的参数；加 --help 查看用法";
        UnknownCommand = "there is no command {0}; `help` lists the commands", "没有命令 {0}；用 help 列出全部命令";
        DidYouMean = " (did you mean {0}?)", "（是否要输入 {0}？）";
        MissingWord = "{0} is missing; add --help to see the words", "缺少 {0}；加 --help 查看用法";
        NotTogether = "{0} cannot be used with {1}", "{0} 不能与 {1} 同时使用";
        WrongWords = "the command is not understood; add --help to see its words", "无法理解该命令；加 --help 查看用法";
        Usage = "Usage", "用法";
        Commands = "Commands", "命令";
        Arguments = "Arguments", "参数";
        Options = "Options", "选项";
        HelpOption = "Show help", "显示帮助";
        VersionOption = "Show the version", "显示版本";
        HelpCommand = "`help COMMAND` shows the words of a command.", "help 加命令名可显示该命令的用法。";

        ThisBox = "This box", "本机";
        OtherBox = "Other box", "对方机器";
        Version = "version {0}, up {1}", "版本 {0}，已运行 {1}";
        InMaintenance = "in maintenance", "维护中";
        NotJoined = "no second box: join a blank one over the serial cable",
            "没有第二台机器：请经串行电缆加入一台空白机器";
        PeerReady = "alive, ready to serve", "在线，可以接管";
        PeerNotReady = "alive, cannot serve: {0}", "在线，不能接管：{0}";
        PeerSilent = "silent on every medium", "所有线路均无信号";
        Group = "Group", "服务组";
        Epoch = "epoch {0}", "纪元 {0}";
        Holder = "Holder", "持有者";
        HolderSeen = "{0}, read {1} ago", "{0}，读取于 {1} 前";
        HolderUnread = "not read yet", "尚未读取";
        Nobody = "nobody", "无";
        Stranger = "a stranger", "外来者";
        Lease = "proof lasts {0} more", "凭证剩余 {0}";
        Addresses = "Addresses", "地址";
        Here = "answered here", "由本机应答";
        NotHere = "not answered here", "本机不应答";
        Preferred = "Preferred", "首选";
        NoPreference = "none", "无";
        FailBack = "goes back by itself", "自动切回";
        LastTake = "Last take", "上次接管";
        TakeLine = "{0}; detected in {1} ms, taken in {2} ms", "{0}；检测 {1} 毫秒，接管 {2} 毫秒";
        Medium = "Medium", "线路";
        State = "State", "状态";
        Age = "Age", "距今";
        Good = ">Good", ">正常";
        Bad = ">Bad", ">错误";
        Fault = "Fault", "故障";
        Never = "never", "从未";
        Service = "Service", "服务";
        Pid = ">Process", ">进程号";
        Restarts = ">Restarts", ">重启次数";
        LastEnd = "Last end", "上次结束";
        Alarms = "Alarms", "告警";
        NoAlarms = "none", "无告警";
        Since = "for {0}", "已持续 {0}";
        Timing = "Timing", "时限";
        TimingLine = "beat {0} ms; lease {1} ms < watchdog {2} ms <= dead time {3} ms",
            "心跳 {0} 毫秒；租约 {1} 毫秒 < 看门狗 {2} 毫秒 <= 判死 {3} 毫秒";
        Number = ">No", ">编号";
        At = ">At", ">时刻";
        Box = "Box", "机器";
        Decision = "Decision", "决定";
        EpochHeading = ">Epoch", ">纪元";
        Cause = "Cause", "原因";
        Phases = "Phases", "阶段";
        Domain = "Domain", "域名";
        AccountsHeading = ">Accounts", ">账户数";
        AliasesHeading = ">Aliases", ">别名数";
        Address = "Address", "地址";
        Used = ">Used", ">已用";
        QuotaHeading = ">Quota", ">配额";
        Unlimited = "none", "无限制";
        Messages = ">Messages", ">邮件数";
        Targets = "Goes to", "转到";
        Sender = "Sender", "发件人";
        Recipient = "Recipient", "收件人";
        Size = ">Size", ">大小";
        AgeHeading = ">Age", ">已等待";
        Attempts = ">Tries", ">尝试";
        Next = ">Next in", ">下次";
        LastAnswer = "Last answer", "上次应答";
        Healthy = "the mail service is serving: epoch {0}, up {1}, a store transaction takes {2} ms",
            "邮件服务正常：纪元 {0}，已运行 {1}，一次存储事务 {2} 毫秒";
        Counter = "Counter", "计数器";
        Value = ">Value", ">数值";
        CheckClean = "the store is clean: {0} messages, {1} bodies", "存储完好：{0} 封邮件，{1} 个正文";
        CheckSeen = "{0} messages, {1} bodies looked at", "检查了 {0} 封邮件，{1} 个正文";
        TextIndexed = "the full-text index has messages up to number {0} of {1}", "全文索引已收录到第 {0} 封邮件，共到第 {1} 封";
        TextNotKept = "the full-text index has failed at message {0} of {1}; searches read the messages, and the next start makes it anew",
            "全文索引在第 {0} 封邮件处失效（共到第 {1} 封）；搜索改为逐封读取，下次启动时重建";
        Empty = "there are none", "没有";
        NothingNamed = "which messages? give their numbers, --sender, --recipient, --destination or --all",
            "哪些邮件？请给出编号、--sender、--recipient、--destination 或 --all";
        QueuePaused = "nothing leaves: the queue is paused", "队列已暂停：不发送任何邮件";
        QueueTotals = "{0} recipients of {1} messages, {2} held", "共 {0} 个收件人，{1} 封邮件，扣留 {2} 个";
        QueueMore = "there are more: --after {0}", "还有更多：--after {0}";
        QueueChanged = "done for {0} recipients", "已处理 {0} 个收件人";
        Held = "held", "扣留";
        ItemLine = "account {0}, priority {1}, notify {2}, given up in {3}",
            "账户 {0}，优先级 {1}，通知 {2}，{3} 后放弃";
        Selector = "Selector", "选择器";
        Algorithm = "Algorithm", "算法";

        RoleStarting = "starting", "启动中";
        RoleStandby = "standby", "备用";
        RoleTaking = "taking", "接管中";
        RoleActive = "active", "主用";
        RoleReleasing = "releasing", "释放中";
        RoleUndecided = "undecided", "待决定";
        RoleFenced = "fenced", "已隔离";
        RoleMaintenance = "maintenance", "维护";
        MediumFresh = "fresh", "正常";
        MediumLate = "late", "迟到";
        MediumLost = "lost", "中断";
        MediumIdle = "idle", "空闲";
        MediumSerial = "serial line", "串行线";
        MediumPrivate = "private net", "专用网";
        MediumArray = "array slot", "阵列槽";
        ServiceStopped = "stopped", "已停止";
        ServiceRunning = "running", "运行中";
        ServiceStopping = "stopping", "停止中";
        ServiceWaiting = "waiting to restart", "等待重启";
        ServiceFailed = "failed", "已失败";
    }
}

/// A sentence of the services in `language`, as far as it is one of the box's own.
pub fn sentence(text: &str, language: Language) -> String {
    match language {
        Language::En => text.to_owned(),
        Language::Zh => alarm::in_chinese(text),
    }
}

/// A role in words.
pub fn role(role: Role, language: Language) -> &'static str {
    let text = match role {
        Role::Starting => Text::RoleStarting,
        Role::Standby => Text::RoleStandby,
        Role::Taking => Text::RoleTaking,
        Role::Active => Text::RoleActive,
        Role::Releasing => Text::RoleReleasing,
        Role::Undecided => Text::RoleUndecided,
        Role::Fenced => Text::RoleFenced,
        Role::Maintenance => Text::RoleMaintenance,
    };
    text.get(language)
}

/// A medium's state in words.
pub fn medium_state(state: MediumState, language: Language) -> &'static str {
    let text = match state {
        MediumState::Fresh => Text::MediumFresh,
        MediumState::Late => Text::MediumLate,
        MediumState::Lost => Text::MediumLost,
        MediumState::Idle => Text::MediumIdle,
    };
    text.get(language)
}

/// A medium's name in words.
pub fn medium(name: &str, language: Language) -> &str {
    match name {
        "serial" => Text::MediumSerial.get(language),
        "private" => Text::MediumPrivate.get(language),
        "array" => Text::MediumArray.get(language),
        other => other,
    }
}

/// A service's state in words.
pub fn service_state(state: ServiceState, language: Language) -> &'static str {
    let text = match state {
        ServiceState::Stopped => Text::ServiceStopped,
        ServiceState::Running => Text::ServiceRunning,
        ServiceState::Stopping => Text::ServiceStopping,
        ServiceState::Waiting => Text::ServiceWaiting,
        ServiceState::Failed => Text::ServiceFailed,
    };
    text.get(language)
}

/// The holder of a reservation in words.
pub fn holder(holder: &str, language: Language) -> &str {
    match holder {
        "nobody" => Text::Nobody.get(language),
        "stranger" => Text::Stranger.get(language),
        name => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::translation_fault;

    #[test]
    fn both_languages_are_complete() {
        let texts = Text::ALL.iter().map(|text| (text.get(Language::En), text.get(Language::Zh)));
        let faults: Vec<_> = texts.filter_map(|(en, zh)| translation_fault(en, zh)).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }
}
