; A machine that speaks at its serial ports: a boot sector, and no interrupts.
;
;   nasm -f bin -o serial.img serial.asm
;
; It says "READY" on COM1. What comes in by COM2 or COM3 it sends back there; two bytes are commands:
;   01   from now on, line after line of 64 bytes on COM2: its number in 8 hexadecimal digits, dots, CR LF
;   00   no more of them
; After a break it says "BREAK". It counts its rounds in the first two characters of the text screen.
bits 16
org 0x7c00
COM1 equ 0x3f8
COM2 equ 0x2f8
COM3 equ 0x3e8
LINE equ 0x7e00
    cli
    xor ax, ax
    mov ds, ax
    mov es, ax
    mov ss, ax
    mov sp, 0x7c00
    cld
    mov ax, 0xb800
    mov fs, ax
    mov dx, COM1
    call open
    mov dx, COM2
    call open
    mov dx, COM3
    call open
    mov dx, COM1
    mov si, ready
    call say
main:
    inc dword [fs:0]
    mov dx, COM2
    call serve
    mov dx, COM3
    call serve
    cmp byte [flood], 0
    je main
    call line
    jmp main
open:
    add dx, 3
    mov al, 3
    out dx, al
    dec dx
    mov al, 7
    out dx, al
    ret
serve:
    add dx, 5
    in al, dx
    sub dx, 5
    test al, 0x10
    jnz .break
    test al, 1
    jz .nothing
    in al, dx
    cmp al, 1
    ja put
    mov [flood], al
.nothing:
    ret
.break:
    in al, dx                       ; it comes as a byte of 0
    mov si, broken
say:
    lodsb
    test al, al
    jz serve.nothing
    call put
    jmp say
put:
    call wait_for_room
    out dx, al
    ret
wait_for_room:
    push ax
    add dx, 5
.full:
    in al, dx
    test al, 0x20
    jz .full
    sub dx, 5
    pop ax
    ret
line:
    mov di, LINE
    mov eax, [number]
    inc dword [number]
    mov cx, 8
.digit:
    rol eax, 4
    mov bx, ax
    and bx, 15
    mov bl, [digits + bx]
    mov [di], bl
    inc di
    loop .digit
    mov al, '.'
    mov cx, 54
    rep stosb
    mov ax, 0x0a0d
    stosw
    mov si, LINE
    mov dx, COM2
    mov bx, 4
.part:
    call wait_for_room
    mov cx, 16
    rep outsb
    dec bx
    jnz .part
    ret
ready: db 'READY', 10, 0
broken: db 'BREAK', 13, 10, 0
digits: db '0123456789ABCDEF'
flood: db 0
number: dd 0
times 510 - ($ - $$) db 0
dw 0xaa55
