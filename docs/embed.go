// Package docs carries what of the documentation goes along with data.
package docs

import _ "embed"

// VerifyAudit is the program in Python that checks an export of the audit.
//
//go:embed verify_audit.py
var VerifyAudit []byte
