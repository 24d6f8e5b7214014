// The page reads well without this; it adds copy buttons, a keyboard for pytest-html's table,
// and opens what is folded when somebody prints. It holds no data of the run.
(() => {
  'use strict'
  const root = document.documentElement
  root.lang = 'en'
  root.classList.add('pc-live')
  document.title = document.getElementById('prodcheck').dataset.title

  const showCopyButtons = () => {
    document.querySelectorAll('.pc-copy[hidden]').forEach((button) => { button.hidden = false })
  }

  document.addEventListener('click', async ({ target }) => {
    const button = target.closest('.pc-copy')
    if (!button) return
    const code = button.parentElement.querySelector('code')
    let done = false
    try {
      await navigator.clipboard.writeText(code.textContent)
      done = true
    } catch {
      // No permission, or not a secure context: select it and ask the old way.
      getSelection().selectAllChildren(code)
      done = document.execCommand('copy')
    }
    button.textContent = done ? 'Copied' : 'Press Ctrl+C'
    setTimeout(() => { button.textContent = 'Copy' }, 2000)
  })

  let folded = []
  addEventListener('beforeprint', () => {
    folded = [...document.querySelectorAll('.pc details:not([open])')]
    folded.forEach((details) => { details.open = true })
  })
  addEventListener('afterprint', () => folded.forEach((details) => { details.open = false }))

  // pytest-html listens for clicks on cells and reads the cell's row: a button in the cell
  // passes its click on to the cell itself.
  let pressed = null
  const passOn = (cell, label) => {
    const button = document.createElement('button')
    button.type = 'button'
    button.className = 'pc-cell'
    button.append(...cell.childNodes)
    if (label) button.setAttribute('aria-label', label)
    button.addEventListener('click', (event) => {
      event.stopPropagation()
      pressed = cell.parentElement.dataset.id
      cell.click()
    })
    cell.append(button)
    return button
  }

  const dressRows = () => {
    document.querySelectorAll('#results-table .collapsible > .col-result').forEach((cell) => {
      if (cell.querySelector('.pc-cell')) return
      const test = cell.parentElement.querySelector('.col-testId')
      const button = passOn(cell, `${cell.textContent}: ${test ? test.textContent : ''}`)
      button.setAttribute('aria-expanded', String(!cell.classList.contains('collapsed')))
    })
    document.querySelectorAll('.logexpander:not([tabindex])').forEach((expander) => {
      expander.tabIndex = 0
      expander.setAttribute('role', 'button')
      expander.setAttribute('aria-label', 'Expand or collapse the log')
      expander.addEventListener('keydown', (event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return
        event.preventDefault()
        expander.click()
      })
    })
    document.querySelectorAll('.sortable').forEach((head) => {
      const order = head.classList.contains('asc') ? 'ascending' : 'descending'
      head.setAttribute('aria-sort', head.matches('.asc, .desc') ? order : 'none')
    })
    showCopyButtons()
  }

  document.addEventListener('DOMContentLoaded', () => {
    // The verdict is the first thing on the page, for the eye and for a screen reader.
    const environment = document.getElementById('environment-header')
    const table = document.getElementById('environment')
    const made = document.querySelector('#title + p')
    const footer = document.querySelector('footer')
    ;[environment, table, made].forEach((part) => part && footer && footer.before(part))
    table.classList.add('hidden')
    environment.classList.add('collapsed')
    const heading = passOn(environment.querySelector('h2'))
    const told = () => {
      heading.setAttribute('aria-expanded', String(!table.classList.contains('hidden')))
    }
    environment.addEventListener('click', () => setTimeout(told))
    told()

    document.querySelectorAll('.filters input').forEach((input) => {
      const name = input.nextElementSibling
      if (name) input.setAttribute('aria-label', `Show ${name.textContent.replace(',', '')}`)
    })
    document.querySelectorAll('#results-table-head .sortable').forEach((head) => passOn(head))
    dressRows()
    new MutationObserver(() => {
      dressRows()
      // The table is a new one after each click: give the pressed button its focus back.
      const again = pressed && document.querySelector(`[data-id="${pressed}"] .pc-cell`)
      pressed = null
      if (again) again.focus()
    }).observe(document.body, { childList: true })
  })
})()
