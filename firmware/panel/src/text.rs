//! Everything the console says, in both languages. The LCD speaks English: its glass has no Chinese.

use admin::catalogue;

catalogue! {
    /// What the console says outside of set-up.
    Text {
        Error = "error: ", "错误：";
        Starting = "Twinmail is starting; waiting for the cluster service", "Twinmail 正在启动；等待集群服务";
        ClusterSilent = "The cluster service is not running; init restarts it", "集群服务未运行；init 正在重新启动它";
        BarStatus = "Enter menu   : commands   Ctrl-L redraw", "回车 菜单   : 命令   Ctrl-L 重画";
        BarLoggedIn = "logged in", "已登录";
        Up = "up {0}", "已运行 {0}";
        ThisBox = "This box", "本机";
        OtherBox = "Other box", "对方机器";
        Maintenance = "in maintenance", "维护中";
        Group = "Group", "服务组";
        Epoch = "epoch {0}", "纪元 {0}";
        Preferred = "preferred owner {0}", "首选 {0}";
        FailBack = "goes back by itself", "自动切回";
        Holder = "Holder", "持有者";
        HolderUnread = "the reservation was not read yet", "尚未读取预留";
        HolderSeen = "{0}, read {1} ago", "{0}，读取于 {1} 前";
        Lease = "proof lasts {0} more", "凭证剩余 {0}";
        Addresses = "Addresses", "地址";
        Here = "answered here", "由本机应答";
        NotHere = "not answered here", "本机不应答";
        Media = "Heartbeat", "心跳";
        Never = "never heard", "从未收到";
        MediumLine = "{0} ago, {1} good, {2} bad", "{0} 前，正常 {1}，错误 {2}";
        Services = "Services", "服务";
        Restarted = "{0} restarts", "重启 {0} 次";
        Takeover = "Takeover", "接管";
        LastTake = "Last take", "上次接管";
        NoTake = "none by this box since its start", "本机启动以来没有";
        TakeLine = "epoch {0}: detected in {1} ms, taken in {2} ms", "纪元 {0}：检测 {1} 毫秒，接管 {2} 毫秒";
        Alarms = "Alarms", "告警";
        NoAlarms = "none, all is well", "无，一切正常";
        MoreAlarms = "and {0} more", "另有 {0} 条";
        LcdAbsent = "the LCD on the front does not answer; check its cable", "前面板 LCD 没有应答；请检查连线";

        Menu = "Menu", "菜单";
        MenuBar = "Up, Down, Enter, or a number   Esc back", "上、下、回车，或数字   Esc 返回";
        MenuSwitchOver = "Switch over to {0}", "切换到 {0}";
        MenuMaintenanceOn = "Put this box into maintenance", "本机进入维护";
        MenuMaintenanceOff = "Put this box back into service", "本机恢复服务";
        MenuLog = "Log", "日志";
        MenuRecords = "Decisions", "决定记录";
        MenuCommands = "Command prompt", "命令行";
        MenuLanguage = "中文", "切换到 English";
        MenuPowerOff = "Power off this box", "关闭本机";
        MenuRestart = "Restart this box", "重启本机";
        MenuLogOut = "Log out", "退出登录";
        OtherBoxUnknown = "the other box", "对方机器";
        ConfirmBar = "y yes   n no", "y 是   n 否";
        AskSwitchOver = "Switch over to {0}? Mail pauses for about two seconds.", "切换到 {0}？邮件服务将暂停约两秒。";
        AskMaintenanceOn = "Put this box into maintenance? It hands mail over and takes nothing until you put it back.",
            "本机进入维护？它将交出邮件服务，恢复之前不再接管。";
        AskMaintenanceOff = "Put this box back into service?", "本机恢复服务？";
        AskPowerOff = "Power off this box? The other box takes over if it can.", "关闭本机？对方机器如能接管将会接管。";
        AskRestart = "Restart this box? The other box takes over if it can.", "重启本机？对方机器如能接管将会接管。";
        Working = "Asked; waiting for the answer", "已发出请求；等待应答";
        Done = "Done. The status shows how it goes on.", "完成。后续情况请看状态。";
        BackBar = "Esc back", "Esc 返回";
        AnyKey = "Any key returns", "按任意键返回";
        ViewBar = "Up, Down, PgUp, PgDn, Home, End   Esc back   {0} to {1} of {2}",
            "上、下、翻页、Home、End   Esc 返回   第 {0} 至 {1} 行，共 {2} 行";
        ViewEmpty = "There is nothing here yet.", "这里还没有内容。";

        LoginIntro = "Twinmail {0}. Log in as administrator.", "Twinmail {0}。请以管理员身份登录。";
        Password = "Password: ", "密码: ";
        WrongPassword = "the password is wrong", "密码错误";
        LoginPaced = "too many wrong tries; wait {0} s", "错误次数过多；请等待 {0} 秒";
        NotSetUp = "this box has no settings yet", "本机尚未设置";
        IdleLogOut = "Logged out after {0} min without a key.", "{0} 分钟没有按键，已退出登录。";
        PromptIntro = "Type help for the commands, exit to leave.", "输入 help 查看命令，exit 退出。";
        NewPassword = "New password: ", "新密码: ";
        PasswordAgain = "Password again: ", "再次输入密码: ";
        PasswordsDiffer = "the two passwords differ; nothing was changed", "两次输入的密码不一致；未作任何更改";
        Quotes = "a quotation mark is not closed", "引号没有配对";
        StillBusy = "the last command is still running; try again in a moment", "上一条命令仍在执行；请稍后再试";
        TooBusy = "the panel has too much to do; try again in a moment", "面板正忙；请稍后再试";
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use admin::{Language, translation_fault};

    #[test]
    fn both_languages_are_complete() {
        let texts = Text::ALL.iter().map(|text| (text.get(Language::En), text.get(Language::Zh)));
        let faults: Vec<_> = texts.filter_map(|(en, zh)| translation_fault(en, zh)).collect();
        assert!(faults.is_empty(), "{faults:#?}");
    }
}
