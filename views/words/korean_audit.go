package words

// koreanAudit are texts about the audit's log.
var koreanAudit = []translation{
	{"%d lines in %s, their checkpoint in %s", "%[2]s에 %[1]d줄, 체크포인트는 %[3]s"},
	{"--from cannot be read: %s", "--from을 읽을 수 없습니다: %s"},
	{"--key is no public key: %s", "--key는 공개 키가 아닙니다: %s"},
	{"--out cannot be written: %s", "파일에 쓸 수 없습니다: %s"},
	{"File for the checkpoint; else it lies beside the entries.", "체크포인트를 쓸 파일. 없으면 항목 파일 옆에 둡니다."},
	{"File for the entries, one JSON object a line.", "항목을 쓸 파일. 한 줄에 JSON 객체 하나."},
	{"File to write to instead.", "출력 대신 쓸 파일."},
	{"File with a checkpoint that was kept outside, which the audit must continue; several times for several.", "밖에 보관한 체크포인트 파일. 감사 기록은 이 체크포인트를 이어야 합니다. 여러 개면 여러 번 지정합니다."},
	{"Make a new key for the audit's checkpoints; the next one is signed with both.", "감사 기록의 체크포인트에 쓸 새 키를 만듭니다. 다음 체크포인트는 두 키로 서명합니다."},
	{"Number of the entry.", "항목 번호."},
	{"Print a signed checkpoint of everything that is in the audit.", "감사 기록 전체의 서명된 체크포인트를 출력합니다."},
	{"Print the proof that an entry is in the log, with the entry and a signed checkpoint.", "항목이 로그에 들어 있다는 증명을 항목과 서명된 체크포인트와 함께 출력합니다."},
	{"Print the public keys of the audit, the newest last.", "감사 기록의 공개 키를 출력합니다. 최신 키가 마지막입니다."},
	{"Public key that must have signed the checkpoints, as it was noted when it was made; else those of the database count.", "체크포인트에 서명했어야 하는 공개 키. 키를 만들 때 적어 둔 것을 씁니다. 없으면 데이터베이스의 키를 믿습니다."},
	{"Recompute the audit's chain and tree and name the first entry that does not fit; with --from, whether it continues a checkpoint from outside.", "감사 기록의 체인과 트리를 다시 계산하고 처음으로 맞지 않는 항목을 알려 줍니다. --from을 쓰면 밖에 보관한 체크포인트를 잇는지도 확인합니다."},
	{"Write the audit as JSON lines, with the checkpoint that covers it.", "감사 기록을 JSON 줄로 쓰고, 이를 덮는 체크포인트도 함께 씁니다."},
	{"the audit has no entry %d", "감사 기록에 %d번 항목이 없습니다"},
	{"the audit's log is not what it was: %s", "감사 로그가 예전과 다릅니다: %s"},
	{"tree root %s, %d checkpoints fit, %d entries have left and are known by their hashes", "트리 루트 %s, 체크포인트 %d개 일치, 보관 기간이 지나 해시만 남은 항목 %d건"},
}
