// Passkeys: the only part of signing in that a browser cannot do without a script. A form with data-passkey asks its address for a challenge,
// lets the browser make or show a passkey, and is then sent as any form.
(function () {
  'use strict';
  if (!window.PublicKeyCredential || !PublicKeyCredential.parseRequestOptionsFromJSON) return;

  function made(form, options) {
    return form.dataset.passkey === 'new'
      ? navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
      : navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
  }

  function begin(event) {
    var form = event.target;
    if (!form.hasAttribute('data-passkey') || form.elements.response.value) return;
    event.preventDefault();
    fetch(form.dataset.begin, { method: 'POST', headers: { Accept: 'application/json' }, credentials: 'same-origin' })
      .then(function (answer) { if (!answer.ok) throw new Error(answer.status); return answer.json(); })
      .then(function (asked) { form.elements.ticket.value = asked.ticket; return made(form, asked.options); })
      .then(function (credential) { form.elements.response.value = JSON.stringify(credential.toJSON()); form.submit(); })
      .catch(function () { form.querySelector('[data-refused]').hidden = false; });
  }

  document.addEventListener('submit', begin);
  document.querySelectorAll('[data-passkey]').forEach(function (form) { form.hidden = false; });
})();
