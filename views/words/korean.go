package words

var korean = map[string]string{phrases["invalid_language"]: "목록에 있는 언어를 선택하세요.", phrases["invalid_parameter.limit"]: "limit은 1부터 {max}까지여야 합니다."}
