package words

// koreanTries are the words of what a try sent where.
var koreanTries = []translation{
	{"channel %s", "채널 %s"},
	{"default exchange", "기본 익스체인지"},
	{"exchange %s", "익스체인지 %s"},
	{"file %s", "파일 %s"},
	{"offset %s", "오프셋 %s"},
	{"partition %s", "파티션 %s"},
	{"receivers: %s", "수신자: %s"},
	{"routing key %s", "라우팅 키 %s"},
	{"rows: %s", "행: %s"},
	{"table %s", "테이블 %s"},
	{"the broker's confirm: %s", "브로커 확인: %s"},
	{"topic %s", "토픽 %s"},
}
