package delivery_test

import _ "redrive/views/words" // what phrases read like
