package delivery

// MaxSearched is how much of a payload is searched, in bytes. JSON that is larger is searched by the words of its beginning only.
const MaxSearched = 64 << 10

// MaxSearchedError is how much of an error text is searched.
const MaxSearchedError = 64 << 10

// Unindexed is an open failure with something new to search for.
type Unindexed struct {
	DeliveryID string
	ErrorClass string
	Error      string
	Type       string
	Payload    []byte // what is sent, at most MaxSearched and one byte
	Masking    Masking
}

// SearchEntry is what can be found of a failure.
type SearchEntry struct {
	Error string
	Text  string // of the payload
	JSON  bool   // Text is JSON
}
