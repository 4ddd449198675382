package views

import (
	"slices"
	"strings"

	"redrive/delivery"
)

// GoPage leads anywhere: what the reader comes from offers its actions, what is typed names a page, an integration or a failure.
type GoPage struct {
	Layout
	Asked       string
	From        string            // local address of the page that the reader comes from
	Named       string            // address of the failures or the message that is named so; empty: none
	D           delivery.Delivery // that page's failure, if it is of one
	Filter      *delivery.Filter  // that page's list, if it is one
	Integration string            // that page's integration, if it is of one
	Names       []string          // of integrations
}

// GoLink is one answer. Do is what the page that the reader comes from can do itself.
type GoLink struct {
	Name string `json:"text"`
	Kind string `json:"help"`
	Href string `json:"insert"`
	Do   string `json:"do,omitempty"`
}

// mostIntegrations is how many are offered at once.
const mostIntegrations = 8

// Answers are what fits, the likeliest first.
func (p GoPage) Answers() (list []GoLink) {
	if p.Named != "" {
		list = append(list, GoLink{Name: p.Asked, Kind: p.T("failure"), Href: p.Named})
	}
	list = append(list, p.fitting(p.actions())...)
	list = append(list, p.fitting(p.pages())...)
	found := p.fitting(p.integrations())
	list = append(list, found[:min(len(found), mostIntegrations)]...)
	if p.Asked != "" {
		list = append(list, GoLink{Name: p.Asked, Kind: p.T("search the failures"), Href: SearchFor(p.Asked)})
	}
	return list
}

// fitting are those whose name has every word that was typed.
func (p GoPage) fitting(list []GoLink) (fit []GoLink) {
	words := strings.Fields(strings.ToLower(p.Asked))
next:
	for _, link := range list {
		for _, w := range words {
			if !strings.Contains(strings.ToLower(link.Name), w) {
				continue next
			}
		}
		fit = append(fit, link)
	}
	return fit
}

func (p GoPage) pages() (list []GoLink) {
	for _, t := range append(p.Layout.tabs(), tabOf{Account, p.T("Your account")}, tabOf{Help, p.T("Help")}) {
		list = append(list, GoLink{Name: t.name, Kind: p.T("page"), Href: t.address})
	}
	return list
}

func (p GoPage) integrations() (list []GoLink) {
	for _, name := range p.Names {
		list = append(list, GoLink{Name: name, Kind: p.T("integration"), Href: Integration(name)})
	}
	return list
}

// actions are what the page that the reader comes from offers, as far as they may do it.
func (p GoPage) actions() (list []GoLink) {
	for _, a := range p.alone() {
		list = append(list, GoLink{Name: p.actionName(a), Kind: p.T("here"), Href: p.From, Do: string(a)})
	}
	if p.D.State == delivery.StateDead {
		if p.Lacks(p.D.Integration, delivery.PermitEdit) == "" {
			list = append(list, GoLink{Name: p.T("Edit and retry …"), Kind: p.T("here"), Href: FailureEdit(p.D.ID)})
		}
		if p.Lacks(p.D.Integration, delivery.PermitRedirect) == "" {
			list = append(list, GoLink{Name: p.T("Redirect …"), Kind: p.T("here"), Href: FailureRedirect(p.D.ID)})
		}
	}
	for _, a := range p.many() {
		list = append(list, GoLink{Name: p.T("%s everything in this list", p.asking(a)), Kind: p.T("here"),
			Href: OperationFor(a, brief(*p.Filter).Encode(), p.From)})
	}
	if p.Integration != "" && p.Lacks(p.Integration, delivery.PermitPause) == "" {
		list = append(list, GoLink{Name: p.T("Pause or resume %s", p.Integration), Kind: p.T("here"), Href: Integration(p.Integration)})
	}
	return list
}

// many are the decisions on everything in the list that the reader comes from.
func (p GoPage) many() (list []delivery.Action) {
	if p.Filter == nil || !p.May(delivery.PermitBulk) {
		return nil
	}
	for _, state := range StatesOf(*p.Filter) {
		for _, a := range delivery.Decisions.Many().In(state).Actions() {
			if p.May(a.Row().Needs) && !slices.Contains(list, a) {
				list = append(list, a)
			}
		}
	}
	return list
}

// alone are the decisions on the failure that the reader comes from, which its page can make.
func (p GoPage) alone() (list []delivery.Action) {
	if p.D.ID == "" {
		return nil
	}
	for _, a := range possible(p.D.State) {
		if p.Lacks(p.D.Integration, a.Row().Needs) == "" {
			list = append(list, a)
		}
	}
	return list
}
