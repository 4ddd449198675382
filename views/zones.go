package views

// Zones are offered in the time zone field; any other name of the tz database may be typed.
var Zones = []string{"UTC", "Asia/Seoul", "Asia/Tokyo", "Asia/Shanghai", "Asia/Singapore", "Asia/Kolkata", "Europe/London",
	"Europe/Berlin", "Europe/Paris", "Europe/Kyiv", "America/New_York", "America/Chicago", "America/Los_Angeles",
	"America/Sao_Paulo", "Australia/Sydney"}
