package words

// koreanMasks are the words of masked fields, of looking at them, and of data subjects.
var koreanMasks = []translation{
	{"%s looked at a masked field of %s", "%s님이 %s의 마스킹된 필드를 열람"},
	{"Back to the failure", "실패로 돌아가기"},
	{"Data of", "정보 주체"},
	{"Entry %s of the audit says that you looked at it, and why. The value is on this page only.", "열람 사실과 사유가 감사 기록 %s번에 남았습니다. 값은 이 페이지에만 표시됩니다."},
	{"Field (required)", "필드(필수)"},
	{"Masked fields: {type} → {integration}", "마스킹된 필드: {type} → {integration}"},
	{"Masked here: %s", "마스킹된 위치: %s"},
	{"Nothing stands at this path in what is sent. Take one of the masked fields that are listed.", "보내는 내용의 이 경로에는 값이 없습니다. 목록에 있는 마스킹된 필드 중에서 고르세요."},
	{"One value is shown, to you alone. The audit gets an entry with your name, the failure, the field and the reason first.", "값 하나를 본인에게만 표시합니다. 먼저 이름, 실패, 필드, 사유가 감사 기록에 남습니다."},
	{"Reveal a field …", "필드 열람 …"},
	{"Say why you look at it: the auditor reads it before anything else.", "열람하는 사유를 적으세요. 감사자가 가장 먼저 읽습니다."},
	{"Show the value", "값 표시"},
	{"This header is a credential by its name: nobody is shown it.", "이 헤더는 이름으로 보아 자격 증명이므로 누구에게도 표시하지 않습니다."},
	{"This is no path to one value: write $.customer.phone, $.lines[0].code or header:NAME.", "값 하나를 가리키는 경로가 아닙니다. $.customer.phone, $.lines[0].code 또는 header:NAME 형식으로 쓰세요."},
	{"This payload is JSON: name the field, such as $.customer.phone.", "이 페이로드는 JSON입니다. $.customer.phone처럼 필드를 지정하세요."},
	{"You are not asked for a reason again until:", "다음 시각까지 사유를 다시 묻지 않습니다:"},
	{"looked at a masked field", "마스킹된 필드 열람"},
}
