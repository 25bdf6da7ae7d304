//! The box's own sentences in Chinese.
//!
//! Causes, alarms, refusals and readings are made as English sentences, far from any screen. Here they
//! are known again: whole, or piece by piece where several were joined. What is not known stays as it
//! is: a device's own words, for example.

/// `text` in Chinese, as far as its sentences are the box's own.
pub fn in_chinese(text: &str) -> String {
    translate(text, DEPTH_MAX)
}

/// How deep sentences lie within sentences at most.
const DEPTH_MAX: u32 = 4;

fn translate(text: &str, depth: u32) -> String {
    if depth == 0 || text.is_empty() {
        return text.to_owned();
    }
    for (english, chinese) in SENTENCES {
        if let Some(values) = matched(english, text) {
            let values: Vec<_> = values.iter().map(|value| translate(value, depth - 1)).collect();
            return filled(chinese, &values);
        }
    }
    if let Some((first, rest)) = text.split_once("; ") {
        return format!("{}；{}", translate(first, depth), translate(rest, depth));
    }
    text.to_owned()
}

/// What stands for `{0}`, `{1}`… in `text`, if it is the sentence `template`.
fn matched<'a>(template: &str, text: &'a str) -> Option<Vec<&'a str>> {
    let mut values = Vec::new();
    let mut literals = template.split('{');
    let mut rest = text.strip_prefix(literals.next()?)?;
    let mut literals = literals.peekable();
    while let Some(piece) = literals.next() {
        let (_, literal) = piece.split_once('}')?;
        let end = match (literals.peek(), literal.is_empty()) {
            (None, true) => rest.len(),
            (None, false) => {
                rest.len().checked_sub(literal.len()).filter(|at| rest.get(*at..) == Some(literal))?
            }
            (Some(_), _) => rest.find(literal)?,
        };
        values.push(rest.get(..end).filter(|value| !value.is_empty())?);
        rest = rest.get(end + literal.len()..)?;
    }
    rest.is_empty().then_some(values)
}

fn filled(template: &str, values: &[String]) -> String {
    let mut text = String::new();
    let mut pieces = template.split('{');
    text.push_str(pieces.next().unwrap_or_default());
    for piece in pieces {
        let (index, literal) = piece.split_once('}').unwrap_or(("", piece));
        let value = index.parse::<usize>().ok().and_then(|index| values.get(index));
        text.push_str(value.map_or("", String::as_str));
        text.push_str(literal);
    }
    text
}

/// English and Chinese; `{0}` stands for what is put in, in this order. The first that fits counts.
const SENTENCES: &[(&str, &str)] = &[
    // Replacing a box
    (
        "this box was replaced and is no member of its pair any more; write the image to its disk anew and set it up",
        "本机已被更换，不再属于原机对；请将映像重新写入其磁盘并重新设置",
    ),
    (
        "the LUN's header is damaged, so no box can be shut out by it; mend the array first",
        "LUN 的头部已损坏，无法据此将机器拒之门外；请先修复阵列",
    ),
    (
        "the system partition is slow; the other box is forgotten once that is saved, and `status` shows it",
        "系统分区响应缓慢；保存之后对方机器即被忘记，见 `status`",
    ),
    ("nothing was changed: {0}", "未作任何更改：{0}"),
    (
        "the box that was replaced is not shut out of the array yet: {0}; it is tried again",
        "被更换的机器尚未被阵列拒之门外：{0}；将再试",
    ),
    ("the reservation is not proven at the moment", "目前未能证实持有预留"),
    ("no second box has joined, so there is none to forget", "第二台机器尚未加入，没有可忘记的机器"),
    (
        "{0} is still heard; a box is forgotten only once it is off or disconnected, so power it off first",
        "仍有 {0} 的信号；只有已断电或断开的机器才能被忘记，请先将其断电",
    ),
    ("another operation is under way; wait for its end", "另一项操作正在进行；请等待其结束"),
    (
        "this box does not serve {0}; only a box that serves everything can forget the other one",
        "本机未承担 {0}；只有承担全部服务的机器才能忘记对方机器",
    ),
    (
        "peer forgotten: {0} is no member of this pair any more; a blank box can join",
        "已忘记对方机器：{0} 不再属于本机对；空白机器可以加入",
    ),
    ("{0} is no member of this pair any more; a blank box can join", "{0} 不再属于本机对；空白机器可以加入"),
    // Alarms
    (
        "nothing is heard on the serial cable; check the null-modem cable between the boxes",
        "串行线没有信号；请检查两台机器之间的串行电缆",
    ),
    (
        "nothing is heard on the private network; check the Ethernet cable between the boxes",
        "专用网没有信号；请检查两台机器之间的网线",
    ),
    (
        "the other box's beats on the array are not seen; check the host channels",
        "看不到对方机器在阵列上的心跳；请检查主机通道",
    ),
    (
        "{0} is not heard on any medium; see to its power, then to its cables",
        "所有线路上都没有 {0} 的信号；请先检查其电源，再检查电缆",
    ),
    (
        "no second box has joined; plug in its serial cable and join it",
        "第二台机器尚未加入；请接上串行电缆并加入",
    ),
    (
        "the other box could not be reset if it stood still: {0}; then try `fence test`",
        "对方机器若停滞将无法被复位：{0}；然后请试 `fence test`",
    ),
    (
        "the management controller does not answer ({0}); see to its cable, address and power",
        "管理控制器没有应答（{0}）；请检查其网线、地址和电源",
    ),
    ("the management controller knows another password for this user", "管理控制器上该用户的密码不同"),
    ("the management controller does not speak IPMI 2.0", "管理控制器不支持 IPMI 2.0"),
    ("the management controller offers neither cipher suite 17 nor 3", "管理控制器不提供加密套件 17 或 3"),
    ("the management controller refuses the session: {0}", "管理控制器拒绝会话：{0}"),
    ("it does not know this user", "它没有此用户"),
    (
        "this user may not control the power; the management controller must give it Operator rights",
        "该用户无权控制电源；请在管理控制器上授予 Operator 权限",
    ),
    ("the silent box was reset by its management controller", "已由管理控制器复位没有信号的机器"),
    (
        "the silent box was not reset: {0}; the reservation keeps it out all the same",
        "没有信号的机器未被复位：{0}；预留仍将其隔离",
    ),
    ("power fencing is not set up", "未设置电源隔离"),
    ("the other box's management controller was not asked yet", "尚未查询对方机器的管理控制器"),
    ("the other box's management controller answers", "对方机器的管理控制器有应答"),
    ("no management controller is set; see `fence set`", "未设置管理控制器；见 `fence set`"),
    (
        "the disk of the mail store is full, and new mail is refused ({0}); have mail deleted",
        "邮件存储盘已满，拒收新邮件（{0}）；请删除邮件",
    ),
    (
        "the file system of the mail has met errors of the array; have it checked",
        "邮件文件系统曾遇到阵列错误；请安排检查",
    ),
    ("the mail service does not answer as it should: {0}", "邮件服务应答不正确：{0}"),
    ("this box could not serve: {0}", "本机无法提供服务：{0}"),
    ("the last attempt to serve failed: {0}", "上次尝试提供服务失败：{0}"),
    ("a takeover by this box would not succeed: {0}", "本机若现在接管将不会成功：{0}"),
    (
        "a changed setting was not saved: the system partition does not answer",
        "更改的设置未保存：系统分区没有应答",
    ),
    ("a changed setting was not saved: {0}", "更改的设置未保存：{0}"),
    (
        "{0} of {1} paths to the array in use; {2} (SCSI {3}) is not: {4}",
        "到阵列的 {1} 条路径中有 {0} 条在用；{2}（SCSI {3}）不可用：{4}",
    ),
    ("it has not answered yet", "尚未应答"),
    (
        "the kernel has no device-mapper: only one path to the array is used",
        "内核没有 device-mapper：只使用一条到阵列的路径",
    ),
    ("the public network card cannot be set up: {0}", "公用网卡无法设置：{0}"),
    (
        "the virtual address {0} is also used by the station {1}; find it and switch it off",
        "虚拟地址 {0} 也被站点 {1} 使用；请找到并关闭它",
    ),
    ("the watchdog {0} cannot be opened: {1}", "看门狗 {0} 无法打开：{1}"),
    ("the watchdog {0} refused a time-out of {1} ms: {2}", "看门狗 {0} 拒绝 {1} 毫秒的超时：{2}"),
    // What a box is able to do
    ("it is ready", "已就绪"),
    ("it is still finding out", "仍在查明"),
    ("it does not reach the array", "无法访问阵列"),
    ("the array is reserved by a system outside this pair", "阵列被本对机器之外的系统保留"),
    ("the mail service failed there too often", "邮件服务在那里失败次数过多"),
    ("its last attempt to take the group failed", "上次接管服务组失败"),
    ("its public network has no link", "公用网没有链路"),
    ("it is in maintenance", "处于维护中"),
    // Why a group is taken or given
    ("the other box is silent on all media", "对方机器在所有线路上均无信号"),
    ("the other box says that it cannot serve", "对方机器声明无法提供服务"),
    ("the other box says that it lost the reservation", "对方机器声明已失去保留"),
    ("the other box handed the group over", "对方机器移交了服务组"),
    ("no box has the group, and this one is to take it", "没有机器承担服务组，由本机承担"),
    ("the operator asked for it at the other box", "操作员在对方机器上提出要求"),
    ("the operator asked for it", "操作员提出要求"),
    ("this box goes into maintenance", "本机进入维护"),
    (
        "the mail service failed here too often, and the other box is ready",
        "邮件服务在本机失败次数过多，而对方机器已就绪",
    ),
    (
        "the public network has no link here, and the other box is ready",
        "本机公用网没有链路，而对方机器已就绪",
    ),
    ("the preferred owner has been well long enough", "首选机器恢复正常的时间已足够"),
    ("the operator wants the group here", "操作员要求本机承担服务组"),
    ("the other box was quicker", "对方机器抢先一步"),
    ("what was taken is given back after a failure", "失败后归还已接管的部分"),
    ("the group is to be mounted afresh", "服务组将重新挂载"),
    ("this box is going down", "本机正在关机"),
    (
        "last heard: serial {0}, private {1}, array {2}, reservation {3}",
        "最近信号：串行线 {0}，专用网 {1}，阵列 {2}，保留 {3}",
    ),
    ("{0} ms ago", "{0} 毫秒前"),
    ("never", "从未"),
    ("unread", "未读取"),
    ("free", "无人持有"),
    ("this box's", "由本机持有"),
    ("the other box's", "由对方机器持有"),
    ("a stranger's", "由外来者持有"),
    ("the step {0} failed: {1}", "步骤 {0} 失败：{1}"),
    ("the step {0} did not end within {1} ms", "步骤 {0} 未在 {1} 毫秒内完成"),
    ("it did not end within {0} ms", "未在 {0} 毫秒内完成"),
    ("another box won the reservation", "另一台机器取得了保留"),
    ("epoch {0} has been in use already", "纪元 {0} 已被使用"),
    ("an earlier step still hangs", "先前的步骤仍未结束"),
    ("its time was over before it could begin", "尚未开始便已超时"),
    // Refusals
    (
        "the other box is not heard on any medium; see to its power and cables first",
        "所有线路上都没有对方机器的信号；请先检查其电源和电缆",
    ),
    ("the other box is not heard on any medium", "所有线路上都没有对方机器的信号"),
    ("the other box cannot take over: {0}", "对方机器无法接管：{0}"),
    ("this box cannot take over: {0}", "本机无法接管：{0}"),
    ("the group is changing hands just now; try again in a few seconds", "服务组正在切换；请几秒后再试"),
    ("no box serves the group now; the status says why", "目前没有机器承担服务组；用 status 查看原因"),
    ("no box of this pair is called {0}", "本对机器中没有名为 {0} 的机器"),
    ("this box has been set up already", "本机已设置完成"),
    ("the cluster service is busy; try again in a few seconds", "集群服务正忙；请几秒后再试"),
    ("too many commands at once; try again", "同时发出的命令过多；请再试"),
    ("one box must serve, and the other be its standby", "必须一台机器提供服务，另一台备用"),
    ("a {0} is under way", "{0} 正在进行"),
    ("the other box does not answer on the private network: {0}", "对方机器在专用网上没有应答：{0}"),
    // Readiness
    ("nobody holds the reservation", "无人持有保留"),
    ("this box's own key holds the reservation", "本机的密钥持有保留"),
    ("the other box's key holds the reservation, and could be preempted", "对方机器的密钥持有保留，可以抢占"),
    ("the reservation at the array was not read for a while", "阵列上的保留有一段时间未能读取"),
    ("the reservation at the array was not read yet", "阵列上的保留尚未读取"),
    ("a system outside this pair holds the reservation", "保留由本对机器之外的系统持有"),
    ("the other box's beats on the array are seen", "可以看到对方机器在阵列上的心跳"),
    ("the other box's beats on the array are not seen", "看不到对方机器在阵列上的心跳"),
    ("the other box is heard over a cable", "电缆上有对方机器的信号"),
    ("the other box is heard over no cable", "所有电缆上都没有对方机器的信号"),
    ("the system partition takes writes", "系统分区可以写入"),
    ("the system partition cannot be written: {0}", "系统分区无法写入：{0}"),
    ("{0} MiB of memory are free, {1} are needed", "可用内存 {0} MiB，需要 {1} MiB"),
    ("the mail service works on this box", "邮件服务在本机上可以工作"),
    ("the mail service does not start: {0}", "邮件服务无法启动：{0}"),
    ("the mail service did not start within {0} s", "邮件服务未在 {0} 秒内启动"),
    ("the mail service works wrongly: {0}", "邮件服务工作不正常：{0}"),
    ("the mail service cannot be rehearsed: {0}", "邮件服务无法演练：{0}"),
    ("the rehearsed mail service cannot be stopped: {0}", "演练的邮件服务无法停止：{0}"),
    ("the rehearsed mail service does not listen", "演练的邮件服务没有监听"),
    (
        "not compared with the other box yet: it is not heard over the private network",
        "尚未与对方机器比较：专用网上没有其信号",
    ),
    ("both boxes have the same settings", "两台机器设置相同"),
    ("the settings of the boxes differ; have this box join again", "两台机器设置不同；请让本机重新加入"),
    ("both boxes run the same image", "两台机器运行相同的映像"),
    (
        "the other box runs another image ({0}); give both the same firmware",
        "对方机器运行另一映像（{0}）；请为两台机器安装相同的固件",
    ),
    // Media
    ("the private network card has no link; check the cross-over cable", "专用网卡没有链路；请检查交叉网线"),
    (
        "a frame was not made with this pair's key; pair the second box again",
        "收到的帧不是用本对机器的密钥制作；请重新配对第二台机器",
    ),
    (
        "a box of another pair ({0}) is on this cable; check the cabling",
        "此电缆上有另一对机器（{0}）；请检查布线",
    ),
    (
        "this box hears itself; the cable is a loop or both ends are plugged into this box",
        "本机听到自己的信号；电缆成环或两端都插在本机上",
    ),
    // Operations and what is told of them
    ("{0} serves mail-2 now: {1}; taken in {2} ms", "{0} 现在为 mail-2 提供服务：{1}；接管用时 {2} 毫秒"),
    ("{0} serves now: {1}; taken in {2} ms", "{0} 现在提供服务：{1}；接管用时 {2} 毫秒"),
    ("drill: {0}", "演练：{0}"),
    ("rolling restart: {0}", "滚动重启：{0}"),
    ("it went as it should; served again {0}", "一切正常；恢复服务：{0}"),
    ("it went as it should", "一切正常"),
    ("it failed: {0}", "失败：{0}"),
    ("this is a test of where alarms go", "这是对告警去向的测试"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_is_known_again_and_its_values_are_kept() {
        for (english, chinese) in SENTENCES {
            let places = english.matches('{').count();
            let values: Vec<_> = (0..places).map(|n| format!("<{n}>")).collect();
            let said = in_chinese(&filled(english, &values));
            assert_eq!(said, filled(chinese, &values), "{english}");
            assert_eq!(places, chinese.matches('{').count(), "{english}");
            assert!(chinese.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)), "{english}");
        }
    }

    #[test]
    fn sentences_in_sentences_and_joined_ones_are_translated() {
        let cause = "the other box is silent on all media; last heard: serial 2400 ms ago, \
                     private never, array 2410 ms ago, reservation the other box's";
        let said = in_chinese(cause);
        assert_eq!(
            said,
            "对方机器在所有线路上均无信号；最近信号：串行线 2400 毫秒前，专用网 从未，阵列 2410 毫秒前，保留 由对方机器持有"
        );
        assert_eq!(
            in_chinese("the other box cannot take over: its public network has no link"),
            "对方机器无法接管：公用网没有链路"
        );
        assert_eq!(in_chinese("sda: I/O error"), "sda: I/O error");
        assert_eq!(in_chinese(""), "");
    }
}
