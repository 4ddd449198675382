package format

import (
	"bytes"
	"math/big"
	"strconv"
)

const smallDigits = 18 // what surely fits into an int64

// total sums decimal text without rounding. Short numbers are gathered in integers, one for each number of decimals.
type total struct {
	index    int // of the column in a row
	small    [smallDigits + 1]int64
	large    big.Rat // the rest
	decimals int     // of the value with the most
}

// add returns false for what is no number, such as NaN.
func (t *total) add(text []byte) bool {
	if text == nil {
		return true
	}
	value, decimals, ok := parseSmall(text)
	if !ok {
		return t.addLarge(text)
	}
	sum := t.small[decimals] + value
	if (sum > value) != (t.small[decimals] > 0) { // it went over the edge
		t.large.Add(&t.large, scaled(t.small[decimals], decimals))
		sum = value
	}
	t.small[decimals] = sum
	t.decimals = max(t.decimals, decimals)
	return true
}

// parseSmall reads a number of up to 18 digits without exponent.
func parseSmall(text []byte) (value int64, decimals int, ok bool) {
	digits, point := 0, false
	for i, b := range text {
		switch {
		case b == '-' && i == 0:
		case b == '.' && !point:
			point = true
		case b >= '0' && b <= '9' && digits < smallDigits:
			value = value*10 + int64(b-'0')
			digits++
			if point {
				decimals++
			}
		default:
			return 0, 0, false
		}
	}
	if digits > 0 && text[0] == '-' {
		value = -value
	}
	return value, decimals, digits > 0
}

func (t *total) addLarge(text []byte) bool {
	if !isNumber(text) {
		return false
	}
	value, ok := new(big.Rat).SetString(string(text))
	if !ok {
		return false
	}
	t.large.Add(&t.large, value)
	t.decimals = max(t.decimals, decimalsOf(text))
	return true
}

// decimalsOf counts those of a number without its exponent.
func decimalsOf(text []byte) int {
	mantissa, power, exponent := text, 0, bytes.IndexAny(text, "eE")
	if exponent >= 0 {
		mantissa = text[:exponent]
		power, _ = strconv.Atoi(string(text[exponent+1:])) // big.Rat has read it
	}
	decimals := 0
	if point := bytes.IndexByte(mantissa, '.'); point >= 0 {
		decimals = len(mantissa) - point - 1
	}
	return max(decimals-power, 0)
}

// scaled is value / 10^decimals.
func scaled(value int64, decimals int) *big.Rat {
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(decimals)), nil)
	return new(big.Rat).SetFrac(big.NewInt(value), power)
}

func (t *total) String() string {
	sum := new(big.Rat).Set(&t.large)
	for decimals, value := range t.small {
		sum.Add(sum, scaled(value, decimals))
	}
	return sum.FloatString(t.decimals)
}
