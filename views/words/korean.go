package words

// One word per term: 실패 failure (전송 실패 dead), 데드 레터 dead letter, 전송 건 delivery, 시도 attempt, 재시도 retry, 무시 ignore, 수동 처리 resolve,
// 다시 열기 reopen, 재시도 철회 withdraw, 인지 acknowledge, 확인 confirm (by the receiver), 경로 변경 redirect, 일괄 작업 operation, 카나리 canary,
// 웨이브 wave, 연동 integration, 대상 destination, 수신 시스템 receiver, 발신 시스템 producer, 소스 source, 회로 차단기 circuit breaker,
// 일시 중지 and 재개 pause and resume, 대기 waiting, 전송 중 sending, 전송 완료 delivered, 결과 불명 outcome unknown, 담당자 assignee, 감사 기록 audit,
// 사유 reason, 증빙 evidence, 분류 category, 비밀 값 secret, 사용자 operator (a person). Sentences end in -습니다, instructions in -세요; buttons,
// headings and states are nouns.

// translation is an English text, and what it is in Korean. Where a number or a name is put in, its particle stands behind it as a pair,
// see particles.
type translation struct{ english, korean string }

var korean = together(koreanPages, koreanSources, koreanMistakes, koreanCommands, koreanTerminal, koreanAudit, koreanIgnoring, koreanMasks, koreanReview, koreanTries)

// together are all lists as one. No text is in two of them, see TestKoreanIsSortedAndOnce.
func together(lists ...[]translation) map[string]string {
	all := map[string]string{}
	for _, list := range lists {
		for _, t := range list {
			all[t.english] = t.korean
		}
	}
	return all
}

// koreanLists are the files that hold them, by name.
var koreanLists = map[string][]translation{
	"pages": koreanPages, "sources": koreanSources, "mistakes": koreanMistakes, "commands": koreanCommands, "terminal": koreanTerminal,
	"audit": koreanAudit, "ignoring": koreanIgnoring, "masks": koreanMasks, "review": koreanReview, "errors": koreanErrors,
	"config": koreanConfig, "usage": koreanUsage, "tries": koreanTries,
}

// KoreanTexts are the English texts that korean_….go translates, so that others can see whether they are said.
func KoreanTexts(name string) (english []string) {
	for _, t := range koreanLists[name] {
		english = append(english, t.english)
	}
	return english
}
